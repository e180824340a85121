//! What a run of the whole suite has left in `LONGHAND_RECORDINGS`, looked at when it is over.

mod calls;
mod logs;
