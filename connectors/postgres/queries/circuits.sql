SELECT destination, retry_at, changed_at, now() AS now FROM circuits
