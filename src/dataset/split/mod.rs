//! The split of videos into training, validation and test: `groups` keeps people together, `balance` distributes
//! groups, `assign` uses both and obeys official lists. Opens no video.

mod assign;
mod balance;
mod groups;

pub use assign::{assign_splits, mend_splits};
