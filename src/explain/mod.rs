//! Explanations: Grad-CAM heatmaps for the logit of a clip, the scores of its frames, and the attention over them.
//!
//! Depends on pixels and a network only, not on videos, files or labels.

mod explanation;
mod grad_cam;
mod heatmap_picture;

pub use explanation::Explanation;
pub use grad_cam::explain_clip;
