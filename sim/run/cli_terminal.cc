#include "sim/run/cli_terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace collapsar {

namespace {

constexpr std::size_t kUsualWidth = 80;  // of a terminal that does not tell

std::size_t width_of_terminal() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsualWidth;
}

bool is_wanted(const std::string& when, std::FILE* stream) {
  if (when == "always") return true;
  if (when == "never") return false;
  if (when != "auto") throw std::invalid_argument(fmt::format("--color {}: auto, never or always is right", when));
  const char* no_color = std::getenv("NO_COLOR");
  return is_terminal(stream) && !(no_color && *no_color);
}

}  // namespace

bool is_terminal(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return ::isatty(::fileno(stream)) == 1 && term && *term && std::string_view(term) != "dumb";
}

Paint::Paint(const std::string& when, std::FILE* stream) : is_on_(is_wanted(when, stream)) {}

std::string Paint::with(const char* code, const std::string& text) const {
  return is_on_ && !text.empty() ? fmt::format("\033[{}m{}\033[m", code, text) : text;
}

std::string Paint::table(const std::string& text, std::size_t header) const {
  if (!is_on_) return text;
  std::string out;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    const bool is_section = number > header && !line.empty() && line.front() != ' ' && !line.starts_with("note:");
    out += number == header || is_section ? bold(line) : line;
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return out;
}

void TerminalLine::show(const std::string& text) {
  if (!is_on_) return;
  shown_ = Clock::now();
  std::fputs(("\r\033[K" + text.substr(0, width_of_terminal() - 1)).c_str(), stderr);
  std::fflush(stderr);
}

void TerminalLine::clear() {
  if (is_on_ && shown_ != Clock::time_point{}) std::fputs("\r\033[K", stderr);
  shown_ = {};
}

std::string time_left(double share, double seconds) {
  if (share <= 0) return "";
  const double left = seconds * std::max(0.0, 1 - share) / share;
  const std::string time = left < 100    ? fmt::format("{:.0f} s", left)
                           : left < 6000 ? fmt::format("{:.0f} min", left / 60)
                                         : fmt::format("{:.1f} h", left / 3600);
  return fmt::format("  {:.0f} %  {} left", 100 * std::min(share, 1.0), time);
}

}  // namespace collapsar
