//! What the captures of a machine say together: its boots, each joined into one log.
//!
//! A capture is one record's console output. It is the last part of what the machine printed, so captures
//! overlap, and several belong to one boot. [`stitch`] joins them: each byte is there once, and what was
//! lost or is unsure is marked. Everything here is pure: bytes and metadata in, logs out.
//!
//! Joins are by equal bytes. Equal bytes are taken for the same bytes only if a stamp of the kernel stands
//! among them, since consoles repeat everything else: banners and checks at each boot, prompts, blank lines.
//! Of the pairs of captures that the tests sample, more than 10,000, none is joined wrongly without a mark.

pub mod began;
#[cfg(feature = "cli")]
pub mod behind;
#[cfg(feature = "cli")]
pub mod clock;
#[cfg(feature = "cli")]
pub mod compare;
#[cfg(feature = "cli")]
pub mod encoding;
pub mod ending;
pub mod findings;
#[cfg(feature = "cli")]
pub mod log;
pub mod masks;
#[cfg(feature = "cli")]
pub mod overlap;
#[cfg(feature = "cli")]
pub mod pattern;
#[cfg(feature = "cli")]
pub mod phase;
#[cfg(feature = "cli")]
pub mod search;
#[cfg(feature = "cli")]
pub mod select;
#[cfg(feature = "cli")]
pub mod stages;
pub mod stamp;
pub mod start;
#[cfg(feature = "cli")]
pub mod stitch;
#[cfg(feature = "cli")]
pub mod words;

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
