"""Fit, predict, and say how sure: scikit-learn estimators with dropout, on patients they have not seen."""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split

from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

# A number: how far diabetes goes in a year, with the deviation of a patient's own value about the prediction.
x, x_new, y, y_new = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
model = DropoutRegressor(random_state=0).fit(x, y)
mean, std = model.predict(x_new, return_std=True)
for value, low, high in list(zip(y_new, mean - 1.96 * std, mean + 1.96 * std, strict=True))[:3]:
    print(f"predicted between {low:3.0f} and {high:3.0f}, measured {value:3.0f}")
print(f"in their 95 % interval: {100 * np.mean(abs(y_new - mean) < 1.96 * std):.0f} %")

# A class: is the tumour malignant? A doctor looks at the tenth of whom the model is least sure.
x, x_new, y, y_new = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
model = DropoutClassifier(random_state=0).fit(x, y)
right = model.predict(x_new) == y_new
sure = model.uncertainty(x_new).entropy.numpy().argsort()[: int(0.9 * len(y_new))]
print(f"right: {100 * right.mean():.1f} % of all, {100 * right[sure].mean():.1f} % of the surest nine tenths")
