"""What games of images are made of: data sets, networks and metrics. Each is a kind that plugins can add to.

For other packages: `dataset.Dataset` and `Images`, `network.Network` and `NetworkFunction`, `metric.Metric` and
`GeneratedImages`.
"""
