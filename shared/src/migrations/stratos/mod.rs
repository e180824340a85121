//! Generations of `oahumada/Stratos`, as its database has them, and what becomes of them here.
//!
//! Nothing is repaired: the text of a generation is one of the texts that its row has, byte for byte, and everything that does not fit
//! together is a [`Finding`](super::Finding). The row itself is kept beside the text, whole.

pub mod choose;
pub mod convert;
pub mod damage;
pub mod source;
pub mod time;
