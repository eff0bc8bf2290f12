//! Work that outlives its callers: journal, queue, budget, runners.
