//! The order of training videos: which videos an epoch shows, how often, and which of them share a batch.
//!
//! The order depends on seed, epoch and data set alone, so that a run can resume in the middle of an epoch. This file
//! knows nothing of pixels and tensors.

use std::collections::HashMap;
use std::path::Path;

use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::batches::sequential_plan;
use super::error::DataError;
use super::manifest::Manifest;
use super::people::Namespace;
use super::record::{Label, Split};
use crate::config::SamplerChoice;

/// The order of the training videos of a run. It includes videos that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sampler {
    /// Each video once, in random order.
    Shuffled(Vec<usize>),
    /// As many fakes as reals. Each video of the larger class comes once. Each video of the smaller class comes equally
    /// often, up to a difference of one; the epoch decides at random which come once more.
    Weighted {
        /// Real videos.
        real: Vec<usize>,
        /// Fake videos.
        fake: Vec<usize>,
    },
    /// Each fake once, next to a real: its original, or if that is not known, a real with the same person, drawn each
    /// epoch from those that were shown least often. A video without a partner comes once.
    Paired {
        /// Each fake with its possible partners.
        fakes: Vec<(usize, Vec<usize>)>,
        /// All real videos.
        reals: Vec<usize>,
    },
}

impl Sampler {
    /// A sampler of the training videos of `manifest`.
    ///
    /// # Errors
    /// [`DataError::Unusable`] if `paired` is chosen and no fake has a partner.
    pub fn new(choice: SamplerChoice, manifest: &Manifest) -> Result<Self, DataError> {
        let videos = manifest.members(Split::Train);
        let (real, fake): (Vec<_>, Vec<_>) =
            videos.iter().partition(|video| manifest.videos[**video].label == Label::Real);
        let sampler = match choice {
            SamplerChoice::Shuffled => Self::Shuffled(videos),
            SamplerChoice::Weighted => Self::Weighted { real, fake },
            SamplerChoice::Paired => Self::Paired { fakes: partners(manifest, &real, &fake), reals: real },
        };
        match &sampler {
            Self::Paired { fakes, .. } if fakes.iter().all(|(_, partners)| partners.is_empty()) => {
                Err(DataError::Unusable {
                    root: manifest.root().to_owned(),
                    problem:
                        "data.sampler: paired needs to know which real a fake was made from, or whom both show, and no \
                              fake of the training split has such a real there"
                            .into(),
                    hint:
                        "name files or CSV groups so that both have a person in common, or set data.sampler: shuffled"
                            .into(),
                })
            }
            _ => Ok(sampler),
        }
    }

    /// Each video `visits` times as often.
    #[must_use]
    pub fn repeated(self, visits: usize) -> Self {
        match self {
            Self::Shuffled(videos) => Self::Shuffled(videos.repeat(visits)),
            Self::Weighted { real, fake } => Self::Weighted { real: real.repeat(visits), fake: fake.repeat(visits) },
            Self::Paired { fakes, reals } => {
                Self::Paired { fakes: vec![fakes; visits].concat(), reals: reals.repeat(visits) }
            }
        }
    }

    /// The batches of one epoch. `drop_last` drops a short last batch unless it is the only one. If `batch_size` is
    /// even, both videos of a pair are in the same batch.
    #[must_use]
    pub fn plan(&self, seed: u64, epoch: u32, batch_size: usize, drop_last: bool) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(epoch));
        let order = match self {
            Self::Shuffled(videos) => {
                let mut order = videos.clone();
                order.shuffle(&mut rng);
                order
            }
            Self::Weighted { real, fake } => balanced(real, fake, &mut rng),
            Self::Paired { fakes, reals } => paired(fakes, reals, &mut rng),
        };
        let mut plan = sequential_plan(&order, batch_size);
        if drop_last && plan.len() > 1 && plan.last().is_some_and(|batch| batch.len() < batch_size) {
            plan.pop();
        }
        plan
    }

    /// A description for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Shuffled(videos) => format!("shuffled, {} clips an epoch", videos.len()),
            Self::Weighted { real, fake } => {
                let most = real.len().max(fake.len());
                format!(
                    "weighted, {} clips of real videos and {} of fake ones, {most} of each an epoch",
                    real.len(),
                    fake.len()
                )
            }
            Self::Paired { fakes, .. } => {
                let alone = fakes.iter().filter(|(_, partners)| partners.is_empty()).count();
                format!("paired, {} clips of fakes beside a real, {alone} without one", fakes.len() - alone)
            }
        }
    }
}

/// Each fake with the reals that are possible partners of it.
fn partners(manifest: &Manifest, reals: &[usize], fakes: &[usize]) -> Vec<(usize, Vec<usize>)> {
    let mut by_path: HashMap<(usize, &Path), usize> = HashMap::new();
    let mut by_person: HashMap<(Namespace, &str), Vec<usize>> = HashMap::new();
    for real in reals {
        let video = &manifest.videos[*real];
        by_path.insert((video.set, &video.path), *real);
        for person in &video.source_ids {
            by_person.entry((Namespace::of(manifest, video), person)).or_default().push(*real);
        }
    }
    let partners_of = |fake: &usize| {
        let video = &manifest.videos[*fake];
        if let Some(real) = video.original.as_deref().and_then(|original| by_path.get(&(video.set, original))) {
            return (*fake, vec![*real]);
        }
        let people = video
            .source_ids
            .iter()
            .filter_map(|person| by_person.get(&(Namespace::of(manifest, video), person.as_str())));
        let mut reals: Vec<usize> = people.flatten().copied().collect();
        reals.sort_unstable();
        reals.dedup();
        (*fake, reals)
    };
    fakes.iter().map(partners_of).collect()
}

fn balanced(real: &[usize], fake: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let most = real.len().max(fake.len());
    let mut order = Vec::with_capacity(2 * most);
    for class in [real, fake].into_iter().filter(|class| !class.is_empty()) {
        order.extend(class.repeat(most / class.len()));
        order.extend(class.choose_multiple(rng, most % class.len()));
    }
    order.shuffle(rng);
    order
}

fn paired(fakes: &[(usize, Vec<usize>)], reals: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut visits: HashMap<usize, u32> = reals.iter().map(|real| (*real, 0)).collect();
    let (mut twos, mut alone) = (Vec::with_capacity(fakes.len()), Vec::new());
    let mut turns: Vec<_> = fakes.iter().collect();
    turns.shuffle(rng);
    for (fake, partners) in turns {
        let least = partners.iter().map(|real| visits[real]).min();
        let candidates: Vec<_> = partners.iter().filter(|real| Some(visits[real]) == least).collect();
        match candidates.choose(rng) {
            Some(&&real) => {
                visits.entry(real).and_modify(|visits| *visits += 1);
                twos.push([real, *fake]);
            }
            None => alone.push(*fake),
        }
    }
    alone.extend(reals.iter().filter(|real| visits[real] == 0));
    alone.shuffle(rng);
    // Videos without a partner are taken two by two, because an odd number of them would split the pairs behind them.
    let (couples, odd) = alone.as_chunks::<2>();
    twos.extend(couples);
    twos.shuffle(rng);
    [twos.as_flattened(), odd].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::LayoutChoice;
    use crate::dataset::{DataSet, VideoRecord};

    /// For each person, a number of reals, of fakes with a known original, and of fakes of which only the person is
    /// known.
    fn manifest(people: &[(usize, usize, usize)]) -> Manifest {
        let mut videos = Vec::new();
        for (person, (reals, made_from, of_person)) in people.iter().enumerate() {
            let id = |n: usize| vec![format!("id{person}"), format!("other{n}")];
            let real = |n: usize| format!("real/{person}_{n}.mp4");
            videos.extend((0..*reals).map(|n| VideoRecord::new(real(n), Label::Real, vec![format!("id{person}")])));
            videos.extend((0..*made_from).map(|n| VideoRecord {
                original: Some(real(n % reals.max(&1)).into()),
                ..VideoRecord::new(format!("fake/made_{person}_{n}.mp4"), Label::Fake, id(n))
            }));
            let fake = |n: usize| VideoRecord::new(format!("fake/of_{person}_{n}.mp4"), Label::Fake, id(n));
            videos.extend((0..*of_person).map(fake));
        }
        let set = DataSet::new("/videos", LayoutChoice::Folders);
        Manifest { sets: vec![set], videos, skipped: Vec::new() }
    }

    fn visits(plan: &[Vec<usize>]) -> HashMap<usize, usize> {
        plan.concat().into_iter().fold(HashMap::new(), |mut visits, video| {
            *visits.entry(video).or_default() += 1;
            visits
        })
    }

    fn shuffled(videos: usize) -> Sampler {
        Sampler::Shuffled((0..videos).collect())
    }

    #[test]
    fn seed_and_epoch_decide_the_order_and_every_video_comes_once() {
        let plan = |seed, epoch| shuffled(50).plan(seed, epoch, 8, false);
        assert_eq!(plan(1, 2), plan(1, 2));
        assert_ne!(plan(1, 2), plan(1, 3));
        assert_ne!(plan(1, 2), plan(2, 2));
        assert_eq!(plan(1, 2).iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 2]);
        assert_eq!(visits(&plan(1, 2)), (0..50).map(|video| (video, 1)).collect());
        assert_eq!(shuffled(20).plan(5, 0, 3, false).concat(), shuffled(20).plan(5, 0, 20, false).concat());
    }

    #[test]
    fn a_short_last_batch_is_dropped_unless_it_is_all_there_is() {
        let batches = |videos, size| shuffled(videos).plan(0, 0, size, true).len();
        assert_eq!((batches(10, 4), batches(10, 5), batches(10, 40), batches(0, 4)), (2, 2, 1, 0));
    }

    #[test]
    fn pairs_that_cannot_be_are_an_error() {
        let mut alone = manifest(&[(2, 0, 2)]);
        alone.videos.iter_mut().filter(|video| video.label == Label::Fake).for_each(|video| video.source_ids.clear());
        let error = Sampler::new(SamplerChoice::Paired, &alone).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("paired"), "{error}");
        assert!(Sampler::new(SamplerChoice::Shuffled, &alone).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_fake_stands_beside_its_real_and_all_are_shown(
            people in prop::collection::vec((0..4_usize, 0..4_usize, 0..4_usize), 1..12),
            seed: u64,
            epoch in 0..9_u32,
            half_batch in 1..6_usize,
        ) {
            let manifest = manifest(&people);
            let Ok(sampler) = Sampler::new(SamplerChoice::Paired, &manifest) else { return Ok(()) };
            let plan = sampler.plan(seed, epoch, 2 * half_batch, false);
            prop_assert_eq!(&plan, &sampler.plan(seed, epoch, 2 * half_batch, false));
            let last = plan.len() - 1;
            prop_assert!(plan[..last].iter().all(|batch| batch.len() == 2 * half_batch));

            let Sampler::Paired { fakes, reals } = &sampler else { unreachable!() };
            let visits = visits(&plan);
            prop_assert_eq!(visits.len(), manifest.videos.len(), "all data are shown");
            for (fake, partners) in fakes {
                prop_assert_eq!(visits[fake], 1);
                let batch = plan.iter().find(|batch| batch.contains(fake)).unwrap();
                let at = batch.iter().position(|video| video == fake).unwrap();
                prop_assert!(partners.is_empty() || (at % 2 == 1 && partners.contains(&batch[at - 1])));
                let made_from = manifest.videos[*fake].original.as_ref().and_then(|original| {
                    manifest.videos.iter().position(|video| video.path == *original)
                });
                prop_assert!(made_from.is_none_or(|real| *partners == [real]));
            }
            // A real comes as often as a fake is paired with it, and otherwise once.
            for real in reals {
                let beside = plan.iter().flat_map(|batch| batch.chunks(2));
                let paired = beside.filter(|two| two[0] == *real && fakes.iter().any(|(fake, _)| two.get(1) == Some(fake)));
                prop_assert_eq!(visits[real], paired.count().max(1));
            }
        }

        #[test]
        fn weighting_shows_both_classes_equally_often(real in 1..30_usize, fake in 1..30_usize, seed: u64) {
            let sampler = Sampler::Weighted { real: (0..real).collect(), fake: (real..real + fake).collect() };
            let visits = visits(&sampler.plan(seed, 0, 7, false));
            let most = real.max(fake);
            let of_class = |range: std::ops::Range<usize>| range.map(|video| visits[&video]).collect::<Vec<_>>();
            for class in [of_class(0..real), of_class(real..real + fake)] {
                prop_assert_eq!(class.iter().sum::<usize>(), most);
                prop_assert!(class.iter().max().unwrap() - class.iter().min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn where_only_the_person_is_known_partners_change_from_epoch_to_epoch() {
        let sampler = Sampler::new(SamplerChoice::Paired, &manifest(&[(4, 0, 4), (3, 1, 0)])).unwrap();
        let partner = |fake: usize, epoch| {
            let order = sampler.plan(1, epoch, 2, false).concat();
            order[order.iter().position(|video| *video == fake).unwrap() - 1]
        };
        let seen: std::collections::HashSet<_> = (0..20).map(|epoch| partner(4, epoch)).collect();
        assert_eq!(seen, (0..4).collect(), "any of the four reals");
        assert!((0..20).all(|epoch| partner(11, epoch) == 8), "the real it was made from");
        // Four fakes and four reals of one person: no real comes twice while another is left out.
        assert!((0..20).all(|epoch| visits(&sampler.plan(1, epoch, 2, false)).values().all(|times| *times == 1)));
    }
}
