"""Objects as points: heads of CenterNet and DeepMark on one map of stride 4. Read first: center_head.py."""
