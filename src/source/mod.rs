//! Where consoles come from.

pub mod ecs; // the API of Alibaba Cloud ECS
