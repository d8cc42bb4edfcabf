//! Decisions, without any input or output of their own: which row a link deserves ([`port_sync`]), when a start is done
//! ([`init`]), and what kind of start this is ([`start`]).

pub mod init;
pub mod port_sync;
pub mod start;
