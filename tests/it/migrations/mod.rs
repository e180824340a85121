//! The engine of migrations against others who write at the same time; the lock; the maintenance switch; backups that cannot be checked.

mod maintenance;
mod races;
