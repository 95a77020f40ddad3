// What is done on a terminal only: colour, and lines that are rewritten in place.
//
// Colour:      where the stream is a terminal, TERM is set and not dumb, and NO_COLOR is not set or empty (no-color.org);
//              --color always and never overrule all of that. Elsewhere the text is as it was.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace collapsar {

// Whether `stream` is a terminal that can move its cursor.
bool is_terminal(std::FILE* stream);

class Paint {
 public:
  // `when`: auto, never or always. Throws std::invalid_argument.
  Paint(const std::string& when, std::FILE* stream);
  bool is_on() const { return is_on_; }
  std::string bold(const std::string& text) const { return with("1", text); }
  std::string bad(const std::string& text) const { return with("1;31", text); }

  // The lines of a report: `header` (0-based) bold, and so those that begin in the first column behind it, but for notes.
  std::string table(const std::string& text, std::size_t header) const;

 private:
  std::string with(const char* code, const std::string& text) const;
  bool is_on_;
};

// One line of standard error, at most five times a second. Taken away at the end.
class TerminalLine {
 public:
  explicit TerminalLine(bool wanted) : is_on_(wanted && is_terminal(stderr)) {}
  TerminalLine(const TerminalLine&) = delete;
  TerminalLine& operator=(const TerminalLine&) = delete;
  ~TerminalLine() { clear(); }
  bool is_on() const { return is_on_; }
  // Whether it is time for a new text.
  bool is_due() const { return is_on_ && Clock::now() - shown_ >= kBetween; }
  void show(const std::string& text);
  void clear();
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kBetween = std::chrono::milliseconds(200);
  bool is_on_;
  Clock::time_point start_ = Clock::now(), shown_{};
};

// "  25 %  3 min left"; `share` of the work took `seconds`. "" before there is anything to go by.
std::string time_left(double share, double seconds);

}  // namespace collapsar
