"""On-board inference: bundle, camera ingest, prompt, engines, KV and vision caches, decoding, and the planner process.

Importing this room loads no inference library; `Planner` and `Bundle` load what they need when they are made.
"""
