//! The laboratory's parts against a real Redis.

mod consumer;
mod intfmgrd;
mod orchagent;
mod pipeline;
mod ports;
mod redis_server;
