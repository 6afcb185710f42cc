"""Direct, horizon-aware forecasts: every feature of a row is known at the row's forecast origin.

`layout` says which seasons and windows a frequency has, `panel` lays the series on a regular grid, `calendar` knows local
time and holidays, `origins` says from when a row is forecast, `features` builds the matrix, `ensemble` holds the boosters,
`conformal` the intervals, `forecaster` puts them together and `training` fits them.
"""
