#!/usr/bin/env python3
"""Writes tests/fixtures/metrics.json: what scikit-learn says of some scores, ties and one-sided cases among them.

usage: make_metrics_fixture.py > tests/fixtures/metrics.json
Needs: numpy, scikit-learn==1.7.2 (only to make the fixture again; the tests need neither).
"""
import json

import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, roc_auc_score, roc_curve


def equal_error_rate(labels, scores):
    """Where the false positive rate crosses the false negative rate on the full ROC polygon."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    fnr = 1 - tpr
    i = int(np.argmax(fpr >= fnr))
    before, after = fnr[i - 1] - fpr[i - 1], fpr[i] - fnr[i]
    return fpr[i - 1] + before / (before + after) * (fpr[i] - fpr[i - 1])


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
    }


rng = np.random.default_rng(0)
cases = [case([0, 1], [0.2, 0.9]), case([1, 0], [0.2, 0.9]), case([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])]
for n, digits, shift in ((20, 1, 0.2), (101, 2, 0.1), (400, 6, 0.05), (37, 1, -0.3)):
    labels = rng.random(n) < 0.4
    labels[:2] = [True, False]
    scores = np.clip(rng.random(n) + shift * labels, 0, 1).round(digits)
    cases.append(case(labels, scores))
print(json.dumps(cases))
