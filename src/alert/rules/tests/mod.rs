mod defaults;
mod docs;
