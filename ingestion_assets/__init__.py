"""What the platform makes: assets, checks, jobs and schedules, and the domain logic behind them."""
