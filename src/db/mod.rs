//! `SONiC`'s Redis databases: where they are ([`topology`]), how rows are laid out ([`table`]), what waits to be written
//! ([`pending`]), and the connections ([`store`], with what is read and published over them in [`read`] and [`publish`]).

mod error;
pub mod pending;
pub mod publish;
pub mod read;
pub mod store;
pub mod table;
pub mod topology;

pub use error::{StoreError, Trouble};
