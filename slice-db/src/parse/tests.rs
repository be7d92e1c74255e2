//! Policy files: what is accepted and what is said of mistakes.
