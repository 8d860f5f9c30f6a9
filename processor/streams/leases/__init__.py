"""Lease rows in KCL's layout: `lease` (the row), `table` (its conditional writes), `held` (one held lease).

`taker` acquires leases and `renewer` renews them. `reconcile` decides what a refused write means, `expiry`
which leases ran out, `assignment` who reads which shard. Attributes that KCL does not know begin with `x_`.
"""
