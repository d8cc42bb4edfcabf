//! `SONiC`'s Redis databases: where they are ([`topology`]), how rows are laid out ([`tables`]), what waits to be written
//! ([`pending`]), the connection that their commands go over ([`writer`]), the connections to each
//! database ([`store`]) with what is read and published over them ([`queries`], [`publish`]), and the one that listens
//! ([`listener`]).

pub mod client;
mod error;
pub mod listener;
pub mod pending;
pub mod publish;
pub mod queries;
pub mod store;
pub mod tables;
pub mod topology;
pub mod writer;

pub use client::Request;
pub use error::{ServerError, StoreError, Trouble};
