//! A connection to a Redis server, from its socket to requests and replies.

pub mod connection;
pub mod encode;
pub mod resp;
pub mod transport;

pub use resp::Request;
