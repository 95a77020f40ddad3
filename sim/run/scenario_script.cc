#include "sim/run/scenario_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

namespace collapsar {
namespace {

using Command = ScenarioCommand;
using CommandOp = Command::Op;

struct Word {
  std::string_view text;
  std::size_t column = 1;
};

// What stands at one place of a command.
enum class Arg : std::uint8_t {
  process,
  new_process,
  child,
  address,
  target,
  bytes,
  new_bytes,
  prot,
  sharing,
  noreserve,
  advice,
  access,
  pages,
  stride,
  passes,
  on_off,
  knob,
  value,
  label,
  uffd_mode,
  sleep_ms,
  run_ms
};

struct Shape {
  std::string_view name;
  CommandOp op;
  std::size_t required;
  std::vector<Arg> args;
};

const std::vector<Shape>& shapes() {
  using enum Arg;
  static const std::vector<Shape> all{
      {"alloc_sleep", CommandOp::alloc_sleep, 1, {sleep_ms}},
      {"brk", CommandOp::brk, 2, {process, bytes}},
      {"clear_refs", CommandOp::clear_refs, 1, {process}},
      {"exit", CommandOp::exit, 1, {process}},
      {"file", CommandOp::file, 3, {process, address, bytes, prot}},
      {"fork", CommandOp::fork, 2, {process, child}},
      {"hog", CommandOp::hog, 2, {process, bytes}},
      {"knob", CommandOp::knob, 2, {knob, value}},
      {"lock", CommandOp::lock, 1, {process}},
      {"madvise", CommandOp::madvise, 4, {process, address, bytes, advice}},
      {"memcg", CommandOp::memcg, 2, {process, bytes}},
      {"mlock", CommandOp::mlock, 3, {process, address, bytes}},
      {"mmap", CommandOp::mmap, 3, {process, address, bytes, prot, sharing, noreserve}},
      {"mprotect", CommandOp::mprotect, 4, {process, address, bytes, prot}},
      {"mremap", CommandOp::mremap, 4, {process, address, bytes, target, new_bytes}},
      {"munlock", CommandOp::munlock, 3, {process, address, bytes}},
      {"munmap", CommandOp::munmap, 3, {process, address, bytes}},
      {"pin", CommandOp::pin, 3, {process, address, bytes}},
      {"proc", CommandOp::proc, 1, {new_process}},
      {"run", CommandOp::run, 2, {sleep_ms, run_ms}},
      {"snap", CommandOp::snap, 0, {label}},
      {"stack", CommandOp::stack, 2, {process, bytes}},
      {"thp", CommandOp::thp, 2, {process, on_off}},
      {"touch", CommandOp::touch, 4, {process, access, address, pages, stride}},
      {"uffd", CommandOp::uffd, 3, {process, address, bytes, uffd_mode}},
      {"unlock", CommandOp::unlock, 1, {process}},
      {"unpin", CommandOp::unpin, 1, {process}},
      {"until_full", CommandOp::until_full, 1, {passes}},
      {"wake", CommandOp::wake, 0, {passes}},
  };
  return all;
}

constexpr std::pair<std::string_view, Advice> kAdvices[] = {
    {"HUGEPAGE", Advice::hugepage},
    {"NOHUGEPAGE", Advice::nohugepage},
    {"PAGEOUT", Advice::pageout},
    {"COLD", Advice::cold},
    {"DONTNEED", Advice::dontneed},
    {"FREE", Advice::free},
    {"COLLAPSE", Advice::collapse},
    {"WILLNEED", Advice::willneed},
    {"POPULATE_READ", Advice::populate_read},
    {"POPULATE_WRITE", Advice::populate_write},
};

constexpr std::string_view kKnobs[] = {"enabled",       "thp_defrag",     "use_zero_page",         "shmem_enabled",
                                       "defrag",        "pages_to_scan",  "alloc_sleep_millisecs", "max_ptes_none",
                                       "max_ptes_swap", "max_ptes_shared"};

constexpr std::uint64_t kUserSpaceEnd = 1ULL << 47;  // what four levels of page table can map for a program

class Parser {
 public:
  explicit Parser(std::string path) : path_(std::move(path)) {}
  void add_line(std::string_view line);
  std::vector<Command> take() { return std::move(commands_); }

 private:
  [[noreturn]] void fail(const Word& at, const std::string& message) const;
  void take_argument(Arg arg, const Word& word, Command& command);
  std::uint64_t sum(const Word& word) const;
  std::uint64_t term(const Word& word, std::string_view text) const;
  std::uint64_t count(const Word& word, std::uint64_t most) const;
  VirtAddr address(const Word& word) const;
  std::uint32_t protection(const Word& word) const;
  void check_process(const Word& word, bool is_new);
  void check_range(const Command& command, const Word& at) const;

  std::string path_;
  std::uint32_t line_ = 0;
  std::vector<Command> commands_;
  std::map<std::string, bool, std::less<>> alive_;  // every process ever named
};

void Parser::fail(const Word& at, const std::string& message) const {
  throw ScenarioError(fmt::format("{}:{}:{}: {}", path_, line_, at.column, message));
}

std::vector<Word> split(std::string_view line) {
  std::vector<Word> words;
  constexpr std::string_view kBlank = " \t\r";
  for (std::size_t at = line.find_first_not_of(kBlank); at != line.npos; at = line.find_first_not_of(kBlank, at)) {
    const std::size_t end = std::min(line.find_first_of(kBlank, at), line.size());
    words.push_back({line.substr(at, end - at), at + 1});
    at = end;
  }
  return words;
}

void Parser::add_line(std::string_view line) {
  ++line_;
  line = line.substr(0, line.find('#'));
  const std::vector<Word> words = split(line);
  if (words.empty()) return;
  const auto shape = std::ranges::find(shapes(), words[0].text, &Shape::name);
  if (shape == shapes().end()) fail(words[0], fmt::format("unknown command {}", words[0].text));
  const std::size_t given = words.size() - 1;
  if (given < shape->required)
    fail(words.back(), fmt::format("{} takes at least {} arguments, got {}", shape->name, shape->required, given));
  if (given > shape->args.size())
    fail(words[shape->args.size() + 1],
         fmt::format("{} takes at most {} arguments, got {}", shape->name, shape->args.size(), given));
  Command command;
  command.op = shape->op;
  command.line = line_;
  command.text = line.substr(words[0].column - 1, line.find_last_not_of(" \t\r") + 2 - words[0].column);
  for (std::size_t i = 0; i < given; ++i) take_argument(shape->args[i], words[i + 1], command);
  check_range(command, words.back());
  if (command.op == CommandOp::exit) alive_[command.process] = false;
  if (command.op == CommandOp::alloc_sleep && !commands_.empty())
    fail(words[0], "alloc_sleep is possible only as the first command");
  commands_.push_back(std::move(command));
}

void Parser::take_argument(Arg arg, const Word& word, Command& c) {
  switch (arg) {
    case Arg::process: return check_process(word, false), void(c.process = word.text);
    case Arg::new_process: return check_process(word, true), void(c.process = word.text);
    case Arg::child: return check_process(word, true), void(c.other = word.text);
    case Arg::address: return void(c.address = address(word));
    case Arg::target: return void(c.target = address(word));
    case Arg::bytes: return void(c.length = c.new_length = sum(word));
    case Arg::new_bytes: return void(c.new_length = sum(word));
    case Arg::prot: return void(c.prot = protection(word));
    case Arg::sharing:
      if (word.text != "shared" && word.text != "private") fail(word, "expected private or shared");
      return void(c.is_shared = word.text == "shared");
    case Arg::noreserve:
      if (word.text != "noreserve") fail(word, "expected noreserve");
      return void(c.is_noreserve = true);
    case Arg::advice: {
      const auto found = std::ranges::find(kAdvices, word.text, &std::pair<std::string_view, Advice>::first);
      if (found == std::end(kAdvices)) fail(word, fmt::format("unknown advice {}", word.text));
      return void(c.advice = found->second);
    }
    case Arg::access:
      if (word.text != "r" && word.text != "w") fail(word, "expected r or w");
      return void(c.is_write = word.text == "w");
    case Arg::pages: return void(c.count = count(word, kUserSpaceEnd >> kPageShift));
    case Arg::stride: return void(c.stride = count(word, kUserSpaceEnd >> kPageShift));
    case Arg::passes: return void(c.count = count(word, 1'000'000));
    case Arg::on_off:
      if (word.text != "on" && word.text != "off") fail(word, "expected on or off");
      return void(c.is_on = word.text == "on");
    case Arg::knob:
      if (std::ranges::find(kKnobs, word.text) == std::end(kKnobs))
        fail(word, fmt::format("unknown knob {}", word.text));
      return void(c.word = word.text);
    case Arg::value: return void(c.value = word.text);
    case Arg::label: return void(c.word = word.text);
    case Arg::uffd_mode:
      if (word.text != "missing" && word.text != "wp" && word.text != "protect" && word.text != "off")
        fail(word, "expected missing, wp, protect or off");
      return void(c.word = word.text);
    case Arg::sleep_ms: return void(c.sleep = std::chrono::milliseconds(count(word, 1'000'000'000)));
    case Arg::run_ms: return void(c.duration = std::chrono::milliseconds(count(word, 1'000'000)));
  }
}

std::uint64_t Parser::count(const Word& word, std::uint64_t most) const {
  const std::uint64_t n = term(word, word.text);
  if (n > most) fail(word, fmt::format("{} is too much: at most {}", word.text, most));
  return n;
}

// N[K|M|G|T|P], decimal or 0x.
std::uint64_t Parser::term(const Word& word, std::string_view text) const {
  unsigned shift = 0;
  constexpr std::pair<char, unsigned> kUnits[] = {{'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}, {'P', kPageShift}};
  for (const auto& [letter, bits] : kUnits)
    if (!text.empty() && text.back() == letter) shift = bits;
  if (shift) text.remove_suffix(1);
  const bool is_hex = text.starts_with("0x");
  if (is_hex) text.remove_prefix(2);
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, is_hex ? 16 : 10);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size())
    fail(word, fmt::format("{}: expected a number N[K|M|G|T|P]", word.text));
  if (n > (~0ULL >> 1) >> shift) fail(word, fmt::format("{} is too much", word.text));
  return n << shift;
}

std::uint64_t Parser::sum(const Word& word) const {
  std::uint64_t total = 0;
  for (std::size_t at = 0; at <= word.text.size();) {
    const std::size_t end = std::min(word.text.find('+', at), word.text.size());
    const std::string_view text = word.text.substr(at, end - at);
    total += text == "heap" ? kScenarioHeap.value : term(word, text);
    if (total >> 62) fail(word, fmt::format("{} is too much", word.text));
    at = end + 1;
  }
  return total;
}

VirtAddr Parser::address(const Word& word) const {
  const std::uint64_t at = sum(word);
  if (at >= kUserSpaceEnd) fail(word, fmt::format("{} lies beyond the address space of a program", word.text));
  return {at};
}

std::uint32_t Parser::protection(const Word& word) const {
  if (word.text == "none") return 0;
  std::uint32_t prot = 0;
  for (const char letter : word.text) {
    const std::size_t bit = std::string_view("rwx").find(letter);
    if (bit == std::string_view::npos) fail(word, fmt::format("{}: expected rw, r, rx or none", word.text));
    prot |= 1U << bit;  // PROT_READ, PROT_WRITE, PROT_EXEC
  }
  return prot;
}

void Parser::check_process(const Word& word, bool is_new) {
  const auto known = alive_.find(word.text);
  if (is_new) {
    if (known != alive_.end()) fail(word, fmt::format("process {} exists already", word.text));
    alive_.emplace(word.text, true);
    return;
  }
  if (known == alive_.end()) fail(word, fmt::format("there is no process {}", word.text));
  if (!known->second) fail(word, fmt::format("process {} has ended", word.text));
}

void Parser::check_range(const Command& c, const Word& at) const {
  const std::uint64_t pages = c.op == CommandOp::touch && c.count > 0 ? (c.count - 1) * c.stride + 1 : 0;
  const std::uint64_t bytes = c.op == CommandOp::touch ? pages << kPageShift : c.length;
  if (c.count > 1 && c.stride > (kUserSpaceEnd >> kPageShift) / c.count) fail(at, "the range leaves the address space");
  if (bytes > kUserSpaceEnd - c.address.value) fail(at, "the range leaves the address space");
}

}  // namespace

ScenarioScript parse_scenario(std::string_view text, const std::string& path) {
  Parser parser(path);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    parser.add_line(text.substr(at, end - at));
    at = end + 1;
  }
  return {std::filesystem::path(path).stem().string(), parser.take()};
}

ScenarioScript read_scenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ScenarioError(fmt::format("{}: cannot be read", path));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) throw ScenarioError(fmt::format("{}: cannot be read", path));
  return parse_scenario(text.str(), path);
}

}  // namespace collapsar
