//! Keeps every console output of every Alibaba Cloud ECS instance.
//!
//! The modules in the order data flows through them.
pub mod delivery;
pub mod event;
pub mod ids;
pub mod key;
pub mod update_time;
