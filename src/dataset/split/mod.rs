//! Which side of the split each video is on: `groups` keeps people together, `balance` distributes groups, `assign` heeds
//! official lists and does both.

mod assign;
mod balance;
mod groups;

pub use assign::{assign_splits, mend_splits};
pub use groups::people_groups;
