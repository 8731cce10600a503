// No exception crosses the border to Rust: a body runs here and gives back a message to be freed, or null.
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>

// Stands in for a message that there was no memory to copy; the other side knows not to free it.
inline char unknown_failure[] = "libtorch failed, and there was no memory left to say why (std::bad_alloc)";

inline char* message_of(const char* text) {
  char* copy = strdup(text);
  return copy != nullptr ? copy : unknown_failure;
}

template <class Body>
char* guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return message_of(error.what());
  } catch (...) {
    return message_of("libtorch failed without a message");
  }
}
