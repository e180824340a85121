//! Rendering, numbering, and the way of a request there and back.
