//! The stored form of consoles: the only folder that knows the layout of keys and objects.

pub mod catalog; // what a listing of the fleet shows, by day
#[cfg(feature = "cli")]
pub mod copy; // one archive → another
#[cfg(feature = "cli")]
pub mod instances; // some of the instances (pure)
pub mod key; // every object family's key (pure)
pub mod notice; // the keys of what notifications remember (pure)
pub mod probe; // the object that proves that an archive can be written (pure)
#[cfg(feature = "cli")]
pub mod prune; // old boots go
#[cfg(feature = "cli")]
pub mod reader; // list, find, open
pub mod record; // console bytes ⇄ gzip and metadata (pure)
pub mod screenshot; // a picture ⇄ an object and metadata (pure)
#[cfg(feature = "cli")]
pub mod verify; // is everything there, and whole
