//! What hostile build commands leave behind, and what becomes of it.
