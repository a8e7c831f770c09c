"""Compares ``plugfit fit`` with scikit-learn's multilayer perceptrons on seven tables.

Each table is split into five folds, five times. ``plugfit fit`` gets a run file with a file and a target, and nothing
else. scikit-learn gets ``StandardScaler``, ``OneHotEncoder`` and ``SimpleImputer`` (median, with indicators), and
``MLPClassifier`` or ``MLPRegressor`` with their defaults. The score is the accuracy, the area under the ROC curve for
imbalanced classes, or R². Prints a table in Markdown.

    python tests/tables/compare.py target/release/plugfit [--repeats 5] [TABLE ...]
"""

import argparse
import pathlib
import subprocess
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def shipped(load):
    """Returns a table that scikit-learn has."""
    data = load(as_frame=True)
    table = data.frame.copy()
    if hasattr(data, "target_names") and table["target"].dtype.kind == "i":
        table["target"] = [str(data.target_names[label]) for label in table["target"]]
    return table


def passengers():
    """Strings and gaps: survival depends on sex, class and age; ages and cabins are missing for some rows."""
    random, rows = np.random.default_rng(1), 900
    sex = random.choice(["female", "male"], rows, p=[0.35, 0.65])
    level = random.choice(["first", "second", "third"], rows, p=[0.25, 0.2, 0.55])
    age = np.clip(random.normal(30, 14, rows), 1, 80)
    fare = random.lognormal(2.3, 0.7, rows) * np.where(level == "first", 5, 1)
    port = random.choice(["C", "Q", "S"], rows, p=[0.2, 0.1, 0.7])
    odds = 1.2 * (sex == "female") * 2 - 0.9 + 0.9 * (level == "first") - 0.8 * (level == "third") + 1.5 * (age < 12)
    target = np.where(random.random(rows) < 1 / (1 + np.exp(-odds)), "yes", "no")
    table = pd.DataFrame({"sex": sex, "class": level, "age": age.round(), "fare": fare.round(2), "port": port, "target": target})
    table.loc[random.random(rows) < 0.2, "age"] = np.nan
    table.loc[random.random(rows) < 0.02, "port"] = np.nan
    return table


def rare():
    """One positive in a hundred rows, by the distance from a point in four of eight columns."""
    random, rows = np.random.default_rng(2), 10_000
    x = random.normal(size=(rows, 8)) * 10.0 ** np.arange(-3, 5)
    distance = ((x[:, :4] / 10.0 ** np.arange(-3, 1) - 1) ** 2).sum(axis=1) + random.normal(size=rows) * 0.3
    target = np.where(np.argsort(np.argsort(distance)) < rows // 100, "fraud", "fine")
    return pd.DataFrame({**{f"x{column}": x[:, column] for column in range(8)}, "target": target})


def categories():
    """A number that depends on one of 200 categories, another of 5, and a number."""
    random, rows = np.random.default_rng(3), 5000
    effects, few = random.normal(size=200) * 100, random.normal(size=5) * 50
    city, kind, size = random.integers(0, 200, rows), random.integers(0, 5, rows), random.lognormal(3, 0.5, rows)
    target = 1000 + effects[city] + few[kind] + 5 * size + random.normal(size=rows) * 20
    return pd.DataFrame({"city": [f"city {c}" for c in city], "kind": [f"k{k}" for k in kind], "size": size, "target": target})


TABLES = {
    "breast cancer": (lambda: shipped(datasets.load_breast_cancer), "accuracy"),
    "wine": (lambda: shipped(datasets.load_wine), "accuracy"),
    "diabetes": (lambda: shipped(datasets.load_diabetes), "r2"),
    "digits": (lambda: shipped(datasets.load_digits), "accuracy"),
    "passengers": (passengers, "accuracy"),
    "rare": (rare, "auc"),
    "categories": (categories, "r2"),
}


def pipeline(kind):
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = make_column_transformer(
        (words, make_column_selector(dtype_exclude="number")), (numbers, make_column_selector(dtype_include="number"))
    )
    return make_pipeline(columns, MLPRegressor() if kind == "r2" else MLPClassifier())


def theirs(train, test, kind, seed):
    model = pipeline(kind)
    model.steps[-1][1].set_params(random_state=seed)
    x, y = train.drop(columns="target"), train["target"]
    start = time.perf_counter()
    with warnings.catch_warnings():
        # The defaults may end before they converge.
        warnings.simplefilter("ignore")
        model.fit(x, y)
    seconds, x = time.perf_counter() - start, test.drop(columns="target")
    if kind == "auc":
        return roc_auc_score(test["target"] == model.classes_[1], model.predict_proba(x)[:, 1]), seconds
    score = r2_score if kind == "r2" else accuracy_score
    return score(test["target"], model.predict(x)), seconds


def ours(program, train, test, kind, seed):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        train.to_csv(folder / "train.csv", index=False)
        test.drop(columns="target").to_csv(folder / "test.csv", index=False)
        (folder / "fit.toml").write_text(f'[data]\nfile = "train.csv"\ntarget = "target"\n\n[fit]\nseed = {seed}\n')

        def run(*arguments):
            ended = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
            if ended.returncode != 0:
                raise RuntimeError(ended.stderr)

        start = time.perf_counter()
        run("fit", "fit.toml", "--out", "run")
        seconds = time.perf_counter() - start
        run("predict", "run", "test.csv", "--out", "predictions.csv")
        found = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    if kind == "r2":
        return r2_score(test["target"], found.iloc[:, -1].astype(float)), seconds
    classes = sorted(train["target"].unique())
    numbers = found[[column for column in found.columns if column != "predicted"]].to_numpy(float)
    if kind == "auc":
        return roc_auc_score(test["target"] == classes[-1], numbers[:, -1]), seconds
    if "predicted" in found.columns:
        return accuracy_score(test["target"].astype(str), found["predicted"].astype(str)), seconds
    best = numbers.argmax(axis=1) if numbers.shape[1] > 1 else (numbers[:, 0] > 0.5).astype(int)
    return accuracy_score(test["target"], [classes[label] for label in best]), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    options = parser.parse_intermixed_args()
    program = options.program.resolve()
    print("| table | rows x columns | score | plugfit | scikit-learn | difference ± its error | seconds: plugfit | scikit-learn |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.tables or TABLES:
        make, kind = TABLES[name]
        table, results = make(), []
        for repeat in range(options.repeats):
            folds = (KFold if kind == "r2" else StratifiedKFold)(5, shuffle=True, random_state=repeat)
            for train, test in folds.split(table, table["target"]):
                train, test = table.iloc[train], table.iloc[test]
                results.append([*ours(program, train, test, kind, repeat), *theirs(train, test, kind, repeat)])
        score, seconds, their_score, their_seconds = np.array(results).T
        difference = score - their_score
        error = difference.std(ddof=1) / len(difference) ** 0.5
        size = f"{len(table):,} x {table.shape[1] - 1}"
        print(
            f"| {name} | {size} | {kind} | {score.mean():.4f} | {their_score.mean():.4f} | {difference.mean():+.4f} ± {error:.4f} "
            f"| {seconds.mean():.2f} | {their_seconds.mean():.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
