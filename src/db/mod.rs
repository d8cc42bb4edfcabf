//! `SONiC`'s Redis databases: where they are ([`topology`]), how rows are laid out ([`table`]), what waits to be written
//! ([`pending`]), their commands ([`encode`]) and the connection that they go over ([`writer`]), the connections to each
//! database ([`store`]) with what is read and published over them ([`read`], [`publish`]), and the one that listens
//! ([`listener`]).

pub mod encode;
mod error;
pub mod listener;
pub mod pending;
pub mod publish;
pub mod read;
mod resp;
pub mod store;
mod stream;
pub mod table;
pub mod topology;
mod wire;
pub mod writer;

pub use error::{StoreError, Trouble};
pub use resp::Request;
