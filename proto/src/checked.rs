//! Domain types behind the messages.
