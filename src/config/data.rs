//! The sections `data`, `dataloader` and `cache`: which videos, which frames of them, and where decoded clips are kept.
//! Keys and defaults only: limits are in `validate.rs`; layouts, frames and caches themselves are in `dataset`, `video`
//! and `clip`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalars::{AutoBytes, Methods, Roots, Switch};

/// Where the videos are and how clips are taken from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of the data set, or a list of folders.
    pub root: Roots,
    /// Folders of other data sets that the best epoch is tested on at the end, each for itself.
    pub test_roots: Roots,
    /// How the folders are laid out; `auto` recognises it and says what it recognised.
    pub layout: LayoutChoice,
    /// Names of the columns of a CSV, where they are others.
    pub columns: ColumnNames,
    /// Forgery methods to use: `all`, or a list such as `[Deepfakes, FaceSwap]`.
    pub methods: Methods,
    /// Forgery methods that are only tested on: their fakes are left out of training and validation.
    pub holdout_methods: Vec<String>,
    /// Which of several compressions to use, where the layout has them: `raw`, `c23`, `c40`, or `all`.
    pub compression: String,
    /// Only this many reals and this many fakes of each root, evenly over the methods.
    pub max_videos_per_class: Option<usize>,
    /// T: frames in a clip.
    pub max_frames: usize,
    /// `[height, width]` in pixels that every frame is resized to.
    pub frame_size: [usize; 2],
    /// Which frames of a video make a clip.
    pub sampling: Sampling,
    /// Only every n-th frame of a video may be chosen; 1 = all.
    pub skip_frames: usize,
    /// A video with fewer usable frames than this is skipped and reported.
    pub min_frames: usize,
    /// Frames whose variance of the Laplacian (grey levels 0 to 255) is lower are blurred and left out; 0 = off.
    pub quality_threshold: f64,
    /// Frames that differ less than this from the one before (mean of grey levels 0 to 255) are left out; 0 = off.
    pub duplicate_threshold: f64,
    /// Seconds after which reading a video is given up.
    pub deadline_secs: f64,
    /// Decode on the GPU (NVDEC): `auto` where that works, else on the CPU.
    pub hw_decode: Switch,
    /// Finding and cutting out faces.
    pub faces: FaceConfig,
    /// Share of the videos that validates, 0 to 1; for data sets without an official split.
    pub val_split: f64,
    /// Share of the videos kept for the final test, 0 to 1; for data sets without an official split.
    pub test_split: f64,
    /// What may not be on two sides of the split.
    pub group_by: GroupBy,
    /// How often an epoch shows each training video, and which stand in a batch together.
    pub sampler: SamplerChoice,
    /// Each epoch trains on this many of a clip's frames, drawn anew; null = all of them. Validation takes all.
    pub frames_per_epoch: Option<usize>,
    /// Clips of each video, one after the other in time: an epoch has each of them, and the score of a video is the mean
    /// of theirs. For long videos; not with `sampling: random_segment`, whose clips are of the whole video.
    pub clips_per_video: usize,
}

impl DataConfig {
    /// Frames of a clip in a training step.
    #[must_use]
    pub fn training_frames(&self) -> usize {
        self.frames_per_epoch.unwrap_or(self.max_frames)
    }

    /// Whether videos of this compression are used.
    #[must_use]
    pub fn has_compression(&self, compression: &str) -> bool {
        self.compression.eq_ignore_ascii_case("all") || self.compression.eq_ignore_ascii_case(compression)
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            root: Roots::one("data"),
            test_roots: Roots::default(),
            layout: LayoutChoice::Auto,
            columns: ColumnNames::default(),
            methods: Methods::All,
            holdout_methods: Vec::new(),
            compression: "c23".into(),
            max_videos_per_class: None,
            max_frames: 32,
            frame_size: [224, 224],
            sampling: Sampling::Uniform,
            skip_frames: 1,
            min_frames: 8,
            quality_threshold: 0.0,
            duplicate_threshold: 0.0,
            deadline_secs: 120.0,
            hw_decode: Switch::Auto,
            faces: FaceConfig::default(),
            val_split: 0.15,
            test_split: 0.15,
            group_by: GroupBy::Identity,
            sampler: SamplerChoice::Shuffled,
            frames_per_epoch: None,
            clips_per_video: 1,
        }
    }
}

/// Names of the columns of a CSV. Only those of paths and labels must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnNames {
    /// Paths of videos, below the folder of the CSV.
    pub path: String,
    /// `real` or `fake`, 0 or 1 (1 is fake).
    pub label: String,
    /// `train`, `val` or `test`.
    pub split: String,
    /// Who is in it, several with `;`.
    pub group: String,
    /// How a fake was made.
    pub method: String,
}

impl Default for ColumnNames {
    fn default() -> Self {
        let [path, label, split, group, method] = ["path", "label", "split", "group", "method"].map(str::to_owned);
        Self { path, label, split, group, method }
    }
}

/// How a data set's folders are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayoutChoice {
    /// Recognised from the folders' and files' names.
    Auto,
    /// `real/` and `fake/`, of videos, folders of frames, or pictures.
    Folders,
    /// FaceForensics++ as its download script leaves it.
    Ffpp,
    /// The flat copy of FaceForensics++ C23 on Kaggle.
    FfppKaggle,
    /// Celeb-DF v1 and v2.
    Celebdf,
    /// DFDC and its preview.
    Dfdc,
    /// FakeAVCeleb, without videos whose sound alone is forged.
    Fakeavceleb,
    /// DeepfakeBench's JSON, with frames on disk.
    Deepfakebench,
    /// DeeperForensics-1.0.
    Deeperforensics,
    /// DF40's folders of frames, by method.
    Df40,
    /// A CSV file `path,label[,split][,group][,method]`.
    Csv,
}

/// Which frames of a video make a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The middle frame of each of T equal parts of the video.
    Uniform,
    /// A random frame of each of T equal parts, drawn anew each epoch; validation takes the middle ones.
    RandomSegment,
    /// T frames in a row from the middle of the video.
    Consecutive,
    /// Like `uniform`, moved to the nearest I or P frame (H.264), or frame that others are made from: the fastest.
    ReferenceFrames,
}

/// Finding and cutting out faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FaceConfig {
    /// Whether faces are cut out.
    pub mode: FaceMode,
    /// Which faces of a video are used.
    pub which: WhichFaces,
    /// Side of the square that is cut out, in sides of the face's box.
    pub margin: f64,
    /// Whether the square follows the face, or is the same in all frames of a clip.
    pub track: FaceTrack,
    /// Turn, move and scale the face so that eyes, nose and mouth are in the same places as in most published detectors'
    /// pictures (ArcFace's template, reduced by the margin).
    pub align: bool,
    /// Look for the face in every n-th frame of a clip; with `follow` also in those between where it moved far, appeared,
    /// vanished, or does not look alike.
    pub detect_every: usize,
    /// Smaller faces, in pixels of the video, count as none.
    pub min_size: usize,
    /// What becomes of a video without a face.
    pub on_miss: OnMiss,
}

impl Default for FaceConfig {
    fn default() -> Self {
        Self {
            mode: FaceMode::Auto,
            which: WhichFaces::Largest,
            margin: 1.3,
            track: FaceTrack::Follow,
            align: false,
            detect_every: 4,
            min_size: 40,
            on_miss: OnMiss::Skip,
        }
    }
}

/// Whether faces are cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaceMode {
    /// Cut out, except in data sets that are face crops already or have no faces that can be found.
    Auto,
    /// Always cut out.
    Crop,
    /// Whole frames.
    Off,
}

/// Which faces of a video are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhichFaces {
    /// The one with the largest area over all frames.
    Largest,
    /// Each that is on a quarter of the searched frames at least, up to eight: scored each by its own clips, which are
    /// pooled into the score of the video; trained on one of them, drawn anew each epoch.
    All,
}

/// Whether the square follows the face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaceTrack {
    /// It follows, with one size for all frames of a clip. Frames that do not show the face are left out.
    Follow,
    /// The same square in all frames of a clip, at the median of the face's places.
    Fixed,
}

/// What becomes of a video without a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMiss {
    /// It is not used, and reported.
    Skip,
    /// Its whole frames are used, and it is reported.
    WholeFrame,
}

/// What may not be on two sides of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// All videos that share a person (a face swap belongs to two).
    Identity,
    /// Each video stands for itself.
    Video,
}

/// How often an epoch shows each training video, and which stand in a batch together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SamplerChoice {
    /// Each once, in random order.
    Shuffled,
    /// As many fakes as reals: those of the smaller class come more than once.
    Weighted,
    /// A fake beside the real it was made from (or one of the same person) in one batch, paired anew each epoch.
    Paired,
}

/// Threads that decode ahead of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Decoding threads; 0 = decode in the trainer's thread.
    pub num_workers: usize,
    /// Batches kept ready a worker.
    pub prefetch_factor: usize,
    /// Page-locked host memory for copies to a CUDA device.
    pub pin_memory: bool,
    /// Leave out the last batch of an epoch when it is short.
    pub drop_last: bool,
    /// Host memory for decoding threads, clips kept ready and the frame cache together; `auto` is half of what is free.
    pub host_memory_budget: AutoBytes,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            num_workers: 4,
            prefetch_factor: 2,
            pin_memory: true,
            drop_last: false,
            host_memory_budget: AutoBytes::Auto,
        }
    }
}

/// Decoded, cropped, resized clips kept in host memory and on disk, so that a video is decoded once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// `auto` keeps clips on disk where all of them fit, and in memory as far as the budget goes.
    pub enable_cache: Switch,
    /// Folder of the clips on disk; data sets and runs may share it.
    pub directory: PathBuf,
    /// At most this much in memory; `auto` is what `dataloader.host_memory_budget` leaves.
    pub memory_bytes: AutoBytes,
    /// At most this much on disk, the least recently used leave first; `auto` is half of what is free there, 0 = none.
    pub disk_bytes: AutoBytes,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enable_cache: Switch::Auto,
            directory: ".cache/frames".into(),
            memory_bytes: AutoBytes::Auto,
            disk_bytes: AutoBytes::Auto,
        }
    }
}
