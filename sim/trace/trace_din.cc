// Dinero "din" text: `LABEL ADDRESS`, one reference a line.
//
// Models:      labels 0 read, 1 write, 2 instruction fetch; 3 (escape) and 4 (flush the cache) name no reference and are
//              passed over. Addresses are hexadecimal, with or without 0x; what follows on the line is a comment.
// Simplified:  one process, one thread, no system calls. The format tells no sizes: each reference is 1 byte, so that one
//              that reached into the next line or page counts once.
// Source:      the "din" input format of Dinero IV (d4 -informat d).
#include <algorithm>

#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_lines.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

struct DinLine {
  unsigned label = 0;
  std::uint64_t address = 0;
};

std::optional<DinLine> parse_din(std::string_view line) {
  const std::string_view label = take_word(line);
  const std::optional<std::uint64_t> address = hex_number(take_word(line));
  if (label.size() != 1 || label[0] < '0' || label[0] > '4' || !address) return std::nullopt;
  return DinLine{static_cast<unsigned>(label[0] - '0'), *address};
}

bool is_empty(std::string_view line) { return take_word(line).empty(); }

class DinReader : public ForeignReader {
 public:
  explicit DinReader(const std::string& file) : text_(file) {}
  Kind next(Item& item) override;
  void rewind() override { text_.rewind(); }
  void describe(TraceInfo& info) const override { info.notes.emplace_back("sizes not recorded: 1 byte per reference"); }

 private:
  TextLines text_;
};

ForeignReader::Kind DinReader::next(Item& item) {
  constexpr RefKind kKinds[] = {RefKind::load, RefKind::store, RefKind::fetch};
  std::string_view line;
  while (text_.next(line)) {
    const std::optional<DinLine> din = parse_din(line);
    if (!din && is_empty(line)) continue;
    if (!din) text_.fail(line, "a label from 0 to 4 and a hexadecimal address is right");
    if (din->label >= std::size(kKinds)) continue;
    const RefKind kind = kKinds[din->label];
    item.record = {din->address, kind == RefKind::fetch ? 1u : 0u, 1, kind, 0};
    return Kind::reference;
  }
  return Kind::end;
}

}  // namespace

bool is_din(const std::string& file) {
  constexpr std::size_t kLines = 20;
  const std::vector<std::string> lines = first_lines(file, kLines);
  return !lines.empty() && parse_din(lines.front()) &&
         std::all_of(lines.begin(), lines.end() - 1,
                     [](const auto& line) { return parse_din(line) || is_empty(line); });
}

std::unique_ptr<TraceSource> open_din(const std::string& file) {
  return make_foreign_source(std::make_unique<DinReader>(file), named_info(file, "din"), {file});
}

}  // namespace collapsar
