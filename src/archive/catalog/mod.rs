//! The catalog: what a listing of the fleet shows, by the day of capture, so that nobody lists the whole
//! archive to see what rebooted last night.
//!
//! ```text
//! catalog/rows/dt=2026-11-25/{row's name}.json       a row for each record or marker, written behind it
//! catalog/days/dt=2026-11-24/{digest}.jsonl.gz       the rows of a day, joined once the day is over
//! ```
//!
//! The day is the UTC day of capture, which only moves on. Nothing here is ever replaced, and nothing takes a
//! lock: [`Row::join`] puts rows of one object together in any order and as often as one likes, so any
//! number of writers and compactors may work at once. If they leave several objects of a day behind, the next compactor joins those.
//!
//! The catalog is a cache of the records. [`reindex`] rebuilds it from them.

pub mod compact; // rows of days that are over → one object a day
pub mod day; // rows ⇄ one object (pure)
pub mod key; // days, and the keys of their joined rows (pure)
pub mod name; // the names of rows, which hold what a listing shows (pure)
#[cfg(feature = "cli")]
pub mod described; // what an object's metadata say, as a row (pure)
#[cfg(feature = "cli")]
pub mod hidden; // what is said to be pruned, and is there
#[cfg(feature = "cli")]
pub mod joined_rows; // what joined rows say of some objects, in place of their metadata
#[cfg(feature = "cli")]
pub mod listed; // what a listing of the archive shows, for what the catalog does not reach
#[cfg(feature = "cli")]
pub mod read; // rows of a range of days
#[cfg(feature = "cli")]
pub mod reindex; // records → catalog
#[cfg(feature = "cli")]
pub mod rescan; // records → what today's rules find in them, in the rows there are
pub mod row; // what the catalog says of one record or marker (pure)

pub use key::Day;
pub use name::CatalogKey;
pub use row::{Row, Subject};

#[cfg(test)]
mod tests;
