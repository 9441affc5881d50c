//! Who is asking and what they may do: keys, passwords, sessions, sealing of secrets.
