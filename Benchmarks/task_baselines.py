"""What simple methods reach on the tasks: predictions that `mayfly eval --predictions` measures like a model's."""

from __future__ import annotations

import warnings
from collections import Counter


def most_frequent(answers: list[str], tests: int) -> list[str]:
    return [Counter(answers).most_common(1)[0][0]] * tests


def logistic_regression(texts: list[str], answers: list[str], tests: list[str], *, characters: bool) -> list[str]:
    """TF-IDF with logistic regression, scikit-learn's usual beginning. Chinese has no spaces: there, pieces of one and
    two characters."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(tf_idf(characters), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        # Most answers of a quiz occur once; scikit-learn wonders whether they are labels.
        warnings.simplefilter("ignore", UserWarning)
        return list(model.fit(texts, answers).predict(tests))


def nearest_by_tf_idf(texts: list[str], answers: list[str], tests: list[str], *, characters: bool) -> list[str]:
    features = tf_idf(characters)
    return vote(features.fit_transform(texts), answers, features.transform(tests))


def vote(vectors, answers: list[str], tests, neighbours: int = 5) -> list[str]:
    """The label of most of the nearest texts, by cosine."""
    from sklearn.neighbors import KNeighborsClassifier

    return list(KNeighborsClassifier(neighbours, metric="cosine", algorithm="brute").fit(vectors, answers).predict(tests))


def lead(documents: list[str], words: int = 12) -> list[str]:
    """The first words of each document: about as many as a title has."""
    return [" ".join(document.split()[:words]) for document in documents]


def tf_idf(characters: bool):
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char", ngram_range=(1, 2)) if characters else TfidfVectorizer()
