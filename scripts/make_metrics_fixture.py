#!/usr/bin/env python3
"""Writes tests/fixtures/metrics.json: what scikit-learn says of some scores, ties and one-sided cases among them; what
DeLong's formulas, written out pair by pair, say of two rows of scores, and Obuchowski's where videos share people, both with
Student's distribution; and the
temperature that scipy finds.

usage: make_metrics_fixture.py > tests/fixtures/metrics.json
Needs: numpy, scipy, scikit-learn==1.7.2 (only to make the fixture again; the tests need none of them).
"""
import json

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import t as students_t
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_recall_curve,
    precision_score,
    roc_auc_score,
    roc_curve,
)

BINS = 15


def equal_error_rate(labels, scores):
    """Where the false positive rate crosses the false negative rate on the full ROC polygon."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    fnr = 1 - tpr
    i = int(np.argmax(fpr >= fnr))
    before, after = fnr[i - 1] - fpr[i - 1], fpr[i] - fnr[i]
    return fpr[i - 1] + before / (before + after) * (fpr[i] - fpr[i - 1])


def calibration_error(labels, scores):
    """Guo et al., 2017, with scikit-learn's bins."""
    share, mean = calibration_curve(labels, scores, n_bins=BINS)
    edges = np.linspace(0, 1, BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=BINS)
    return float(np.sum(np.abs(share - mean) * counts[counts > 0]) / len(scores))


def temperature(labels, scores):
    p = np.clip(scores, 1e-12, 1 - 1e-12)
    logits = np.log(p / (1 - p))
    signs = np.where(labels, 1.0, -1.0)
    loss = lambda t: np.mean(np.logaddexp(0, -signs * logits / np.exp(t)))
    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}).x))


def curves(labels, scores):
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, at = precision_recall_curve(labels, scores)
    return {
        "false_positive_rate": fpr.tolist(),
        "true_positive_rate": tpr.tolist(),
        "thresholds": thresholds[1:].tolist(),
        # scikit-learn lists them from the lowest threshold up, and adds a point of its own at the end.
        "precision": precision[:-1][::-1].tolist(),
        "recall": recall[:-1][::-1].tolist(),
        "precision_thresholds": at[::-1].tolist(),
    }


def case(labels, scores):
    labels, scores = np.asarray(labels, bool), np.asarray(scores, float)
    return {
        "is_fake": labels.tolist(),
        "scores": scores.tolist(),
        "auc": roc_auc_score(labels, scores),
        "average_precision": average_precision_score(labels, scores),
        "equal_error_rate": equal_error_rate(labels, scores),
        "log_loss": log_loss(labels, np.clip(scores, 1e-7, 1 - 1e-7)),
        "accuracy": accuracy_score(labels, scores >= 0.5),
        "accuracy_real": accuracy_score(labels[~labels], scores[~labels] >= 0.5),
        "accuracy_fake": accuracy_score(labels[labels], scores[labels] >= 0.5),
        "balanced_accuracy": balanced_accuracy_score(labels, scores >= 0.5),
        "precision": precision_score(labels, scores >= 0.5) if (scores >= 0.5).any() else None,
        "f1": f1_score(labels, scores >= 0.5),
        "calibration_error": calibration_error(labels, scores),
        "temperature": temperature(labels, scores),
        "curves": curves(labels, scores),
    }


def won_pairs(labels, scores):
    """For each pair of a fake and a real, whether the fake scores higher; ties count half."""
    fakes, reals = scores[labels][:, None], scores[~labels][None]
    return np.where(fakes > reals, 1.0, np.where(fakes == reals, 0.5, 0.0))


def comparison(labels, a, b, auc, deviation, degrees_of_freedom):
    """Of two AUCs, whose difference has that standard deviation."""
    t, difference = students_t(degrees_of_freedom), auc[0] - auc[1]
    half = t.ppf(0.975) * deviation
    return {
        "is_fake": labels.tolist(),
        "scores": a.tolist(),
        "other": b.tolist(),
        "auc": auc[0],
        "other_auc": auc[1],
        "interval": [difference - half, difference + half],
        "p_value": float(2 * t.sf(abs(difference) / deviation)),
    }


def delong(labels, a, b):
    """DeLong, DeLong and Clarke-Pearson, 1988, by all pairs of a fake and a real."""
    won = [won_pairs(labels, scores) for scores in (a, b)]
    of_fakes, of_reals = np.stack([w.mean(1) for w in won]), np.stack([w.mean(0) for w in won])
    covariance = np.cov(of_fakes) / of_fakes.shape[1] + np.cov(of_reals) / of_reals.shape[1]
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return comparison(labels, a, b, [w.mean() for w in won], deviation, min(labels.sum(), (~labels).sum()) - 1)


def obuchowski(labels, a, b, people):
    """Obuchowski, 1997, for clusters of videos: components of pairs, summed over each cluster, one person a video."""
    won = [won_pairs(labels, scores) for scores in (a, b)]
    difference = won[0] - won[1]
    theta, m, n = difference.mean(), int(labels.sum()), int((~labels).sum())
    clusters = sorted(set(people))
    of_fakes, of_reals = people[labels], people[~labels]
    fakes = np.array([(difference.mean(1)[of_fakes == c] - theta).sum() for c in clusters])
    reals = np.array([(difference.mean(0)[of_reals == c] - theta).sum() for c in clusters])
    with_fakes, with_reals, all_of_them = len(set(of_fakes)), len(set(of_reals)), len(clusters)
    s10 = with_fakes / ((with_fakes - 1) * m) * (fakes**2).sum()
    s01 = with_reals / ((with_reals - 1) * n) * (reals**2).sum()
    s11 = all_of_them / (all_of_them - 1) * (fakes * reals).sum()
    deviation = np.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n))
    # Kish's effective number of people, of the class with fewer.
    videos = [np.array([(of == c).sum() for c in clusters]) for of in (of_fakes, of_reals)]
    degrees_of_freedom = min(n.sum() ** 2 / (n**2).sum() for n in videos) - 1
    found = comparison(labels, a, b, [w.mean() for w in won], deviation, degrees_of_freedom)
    return {**found, "people": people.tolist()}


rng = np.random.default_rng(0)
cases = [case([0, 1], [0.2, 0.9]), case([1, 0], [0.2, 0.9]), case([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])]
for n, digits, shift in ((20, 1, 0.2), (101, 2, 0.1), (400, 6, 0.05), (37, 1, -0.3)):
    labels = rng.random(n) < 0.4
    labels[:2] = [True, False]
    scores = np.clip(rng.random(n) + shift * labels, 0, 1).round(digits)
    cases.append(case(labels, scores))
pairs = []
for n, digits in ((40, 1), (300, 5)):
    labels = rng.random(n) < 0.5
    a = np.clip(rng.random(n) + 0.4 * labels, 0, 1).round(digits)
    pairs.append(delong(labels, a, np.clip(0.6 * a + 0.4 * rng.random(n), 0, 1).round(digits)))
clustered = []
for n, of_each, digits in ((40, 2, 1), (300, 5, 5)):
    people = np.arange(n) // of_each
    labels = rng.random(n) < 0.6
    own = rng.random(n // of_each)[people]
    a = np.clip(0.5 * rng.random(n) + 0.5 * own + 0.3 * labels, 0, 1).round(digits)
    b = np.clip(0.5 * rng.random(n) + 0.5 * own + 0.2 * labels, 0, 1).round(digits)
    clustered.append(obuchowski(labels, a, b, people))
print(json.dumps({"cases": cases, "pairs": pairs, "clustered": clustered}))
