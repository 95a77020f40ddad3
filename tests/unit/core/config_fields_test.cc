// ConfigNode <-> structs.
#include "sim/core/config_fields.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

using namespace std::chrono_literals;

enum class Enabled { always, madvise, never };
struct CpuChoice {
  int number = -1;  // -1: a CPU of its own
  bool operator==(const CpuChoice&) const = default;
};

}  // namespace

template <>
struct EnumNames<Enabled> {
  static constexpr std::array<std::pair<std::string_view, Enabled>, 3> names{
      {{"always", Enabled::always}, {"madvise", Enabled::madvise}, {"never", Enabled::never}}};
};
template <>
struct ScalarText<CpuChoice> {
  static CpuChoice parse(std::string_view text) {
    if (text == "dedicated") return {};
    return {static_cast<int>(parse_count(text))};
  }
  static std::string print(const CpuChoice& choice) {
    return choice.number < 0 ? "dedicated" : fmt::format("{}", choice.number);
  }
  static constexpr std::string_view expected = "dedicated, or the number of a CPU";
};

namespace {

struct Level {
  std::vector<PageSize> pages{PageSize::k4K};
  std::uint32_t sets = 16;
  std::map<PageSize, std::uint32_t> ways{{PageSize::k4K, 4}};
  bool operator==(const Level&) const = default;
  template <class V>
  void describe(V& v) {
    v("pages", pages, "page sizes held");
    v("sets", sets, "number of sets");
    v("ways", ways, "entries of a set");
  }
};

struct Cache {
  Bytes size{32 * kKiB};
  std::uint64_t ways = 8;
  bool operator==(const Cache&) const = default;
  template <class V>
  void describe(V& v) {
    v("size", size, "bytes of data");
    v("ways", ways, "lines of a set");
  }
  void validate() const {
    if (ways == 0) throw std::invalid_argument("ways: 0 is too few; at least 1");
    if (size.value % (64 * ways) != 0) throw std::invalid_argument("size is no multiple of 64 B x ways");
  }
};

struct Machine {
  std::string name = "machine";
  bool asids = true;
  std::uint64_t pages_to_scan = 4096;
  std::uint32_t walkers = 2;
  std::int64_t offset = -3;
  double scale = 1;
  Duration scan_sleep = 10s;
  Bytes memory{16 * kGiB};
  Frequency frequency{2.6e9};
  Bandwidth bandwidth{3e9};
  PageSize page = PageSize::k4K;
  Enabled enabled = Enabled::madvise;
  CpuChoice cpu;
  FilePath trace;
  std::vector<std::string> tags;
  std::vector<Level> l1d{Level{}};
  std::optional<Duration> ideal;
  std::optional<Cache> cache = Cache{};
  std::optional<std::string> note;
  Cache l2;
  ConfigNode variants;
  bool operator==(const Machine&) const = default;
  template <class V>
  void describe(V& v) {
    v("name", name, "what reports call it");
    v("asids", asids, "whether entries carry an ASID");
    v("pages_to_scan", pages_to_scan, "pages per wake-up");
    v("walkers", walkers, "walks at a time");
    v("offset", offset, "a number of either sign");
    v("scale", scale, "a factor");
    v("scan_sleep", scan_sleep, "pause between wake-ups");
    v("memory", memory, "size of memory");
    v("frequency", frequency, "core clock");
    v("bandwidth", bandwidth, "of the device");
    v("page", page, "a page size");
    v("enabled", enabled, "which mappings");
    v("cpu", cpu, "where it runs");
    v("trace", trace, "trace to replay");
    v("tags", tags, "words");
    v("l1d", l1d, "arrays of the level");
    v("ideal", ideal, "fixed latency");
    v("cache", cache, "first level");
    v("note", note, "remark");
    v("l2", l2, "second level");
    v("variants", variants, "what differs, by name");
  }
};

Machine machine(const std::string& yaml) {
  Machine m;
  read_config(parse_yaml(yaml, "machine.yaml"), m);
  return m;
}

std::string machine_refusal(const std::string& yaml) {
  try {
    machine(yaml);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ConfigFields, WhatIsNotNamedKeepsItsValue) { EXPECT_EQ(machine(""), Machine()); }

TEST(ConfigFields, EveryKindOfFieldIsRead) {
  const Machine m = machine(R"(
name: "6.12"
asids: false
pages_to_scan: 200M
walkers: 1
offset: -7
scale: 2.5e-3
scan_sleep: 20ms
memory: 1TiB
frequency: 1200MHz
bandwidth: 500MB/s
page: 2M
enabled: never
cpu: 3
trace: ../traces/redis.ctr
tags: [a, 'b c']
l1d: [{pages: [4K, 2M], sets: 8, ways: {4K: 8, 2M: 4}}, {ways: 12}]
ideal: 80ns
cache: none
note: text
l2.size: 1MiB
variants: {never: {kernel.thp.enabled: never}}
)");
  EXPECT_EQ(m.name, "6.12");
  EXPECT_FALSE(m.asids);
  EXPECT_EQ(m.pages_to_scan, 200'000'000U);
  EXPECT_EQ(m.walkers, 1U);
  EXPECT_EQ(m.offset, -7);
  EXPECT_EQ(m.scale, 2.5e-3);
  EXPECT_EQ(m.scan_sleep, 20ms);
  EXPECT_EQ(m.memory, Bytes{kTiB});
  EXPECT_EQ(m.frequency.hertz, 1.2e9);
  EXPECT_EQ(m.bandwidth.bytes_per_second, 5e8);
  EXPECT_EQ(m.page, PageSize::k2M);
  EXPECT_EQ(m.enabled, Enabled::never);
  EXPECT_EQ(m.cpu.number, 3);
  EXPECT_EQ(m.trace.text, "../traces/redis.ctr");
  EXPECT_EQ(m.tags, (std::vector<std::string>{"a", "b c"}));
  ASSERT_EQ(m.l1d.size(), 2U);
  EXPECT_EQ(m.l1d[0].ways, (PageSizeCounts{{PageSize::k4K, 8}, {PageSize::k2M, 4}}));
  EXPECT_EQ(m.l1d[1].ways, (PageSizeCounts{{PageSize::k4K, 12}, {PageSize::k2M, 12}, {PageSize::k1G, 12}}));
  EXPECT_EQ(m.ideal, Duration(80ns));
  EXPECT_EQ(m.cache, std::nullopt);
  EXPECT_EQ(m.note, "text");
  EXPECT_EQ(m.l2, (Cache{Bytes{kMiB}, 8}));
  EXPECT_EQ(to_yaml_line(m.variants), "{never: {kernel: {thp: {enabled: never}}}}");
}

TEST(ConfigFields, OneElementMayStandForAList) {
  EXPECT_EQ(machine("tags: a").tags, std::vector<std::string>{"a"});
  EXPECT_EQ(machine("l1d: {sets: 4, pages: 2M}").l1d.at(0).sets, 4U);
  EXPECT_TRUE(machine("l1d: []").l1d.empty());
}

TEST(ConfigFields, NoneInQuotesIsAText) {
  EXPECT_EQ(machine("note: none").note, std::nullopt);
  EXPECT_EQ(machine("note: 'none'").note, "none");
}

TEST(ConfigFields, UnknownKeysAreRefusedWithWhatIsKnown) {
  EXPECT_EQ(machine_refusal("l2:\n  sise: 1MiB\n"),
            "machine.yaml:2:3: l2.sise: unknown key (known here: size, ways); did you mean size?");
  EXPECT_EQ(machine_refusal("l1d: [{}, {colour: red}]"),
            "machine.yaml:1:12: l1d[1].colour: unknown key (known here: pages, sets, ways)");
  EXPECT_EQ(machine_refusal("l1d: {ways: {4k: 1}}"),
            "machine.yaml:1:14: l1d.ways.4k: unknown key (known here: 4K, 2M, 1G); did you mean 4K?");
  EXPECT_EQ(machine_refusal("l2.size.x: 1"), "machine.yaml:1:1: l2.size: found a map; expected bytes");
}

TEST(ConfigFields, WrongValuesAreRefusedWithWhatWouldBeRight) {
  const auto refused = [](const std::string& key, const std::string& value) {
    const std::string text = machine_refusal(key + ": " + value);
    const std::string start = fmt::format("machine.yaml:1:{}: {}: ", key.size() + 3, key);
    return text.starts_with(start) ? text.substr(start.size()) : text;
  };
  EXPECT_EQ(refused("asids", "yes"), "found yes; write true or false");
  EXPECT_EQ(refused("pages_to_scan", "010"), "010 starts with 0; write 10");
  EXPECT_EQ(refused("pages_to_scan", "-1"), "-1 is negative; write for example 4096 or 200M");
  EXPECT_EQ(refused("pages_to_scan", "4KiB"), "4KiB has an unknown unit KiB; units are k M G T");
  EXPECT_EQ(refused("walkers", "5G"), "5G is too large; the most is 4294967295");
  EXPECT_EQ(refused("offset", "-9223372036854775808"),
            "-9223372036854775808 is too large; the range is -9223372036854775807 to 9223372036854775807");
  EXPECT_EQ(refused("scale", "fast"), "fast is not a number; write for example 0.5");
  EXPECT_EQ(refused("scale", "nan"), "nan is not a number; write for example 0.5");
  EXPECT_EQ(refused("scale", "01.5"), "01.5 starts with 0; write 1.5");
  EXPECT_EQ(refused("scale", "1e999"), "1e999 does not fit a number");
  EXPECT_EQ(refused("scan_sleep", "10"), "10 has no unit; write 10ns or 10ms");
  EXPECT_EQ(refused("memory", "65536"), "65536 has no unit; write 64KiB or 65536B");
  EXPECT_EQ(refused("page", "4KiB"), "found 4KiB; choose one of 4K, 2M, 1G");
  EXPECT_EQ(refused("enabled", "alwyas"), "found alwyas; choose one of always, madvise, never; did you mean always?");
  EXPECT_EQ(refused("cpu", "mine"), "mine is not a number; write for example 4096 or 200M");
  EXPECT_EQ(refused("ideal", "soon"), "soon is not a number; write for example 10ms");
}

TEST(ConfigFields, WrongShapesAreRefused) {
  EXPECT_EQ(machine_refusal("name: {a: 1}"), "machine.yaml:1:7: name: found a map; expected text");
  EXPECT_EQ(machine_refusal("enabled: [always]"),
            "machine.yaml:1:10: enabled: found a list; expected always|madvise|never");
  EXPECT_EQ(machine_refusal("cpu: []"),
            "machine.yaml:1:6: cpu: found a list; expected dedicated, or the number of a CPU");
  EXPECT_EQ(machine_refusal("l2: 5"), "machine.yaml:1:5: l2: found 5; expected a map");
  EXPECT_EQ(machine_refusal("l2: ''"), "machine.yaml:1:5: l2: found an empty text; expected a map");
  EXPECT_EQ(machine_refusal("cache: big"), "machine.yaml:1:8: cache: found big; expected a map or none");
  EXPECT_EQ(machine_refusal("trace: [a]"), "machine.yaml:1:8: trace: found a list; expected a file");
  EXPECT_EQ(machine_refusal("l1d: {ways: [1]}"),
            "machine.yaml:1:13: l1d.ways: found a list; expected count, or {4K: count, 2M: count, 1G: count}");
  EXPECT_EQ(machine_refusal("l1d: [[{}]]"), "machine.yaml:1:7: l1d[0]: found a list; expected a map");
}

TEST(ConfigFields, BrokenRulesAreSaidAtTheirKey) {
  EXPECT_EQ(machine_refusal("l2:\n  size: 1MiB\n  ways: 0\n"), "machine.yaml:3:9: l2.ways: 0 is too few; at least 1");
  EXPECT_EQ(machine_refusal("l2: {size: 1000B}"), "machine.yaml:1:5: l2: size is no multiple of 64 B x ways");
  EXPECT_EQ(machine_refusal("cache.ways: 0"), "machine.yaml:1:13: cache.ways: 0 is too few; at least 1");
}

struct Strict {
  std::uint64_t a = 0;
  template <class V>
  void describe(V& v) {
    v("a", a, "");
  }
  void validate() const { throw std::invalid_argument("b[1].c: always wrong"); }
};

TEST(ConfigFields, ARuleOnAKeyThatIsNotWrittenIsSaidAtTheMap) {
  Strict strict;
  try {
    read_config(parse_yaml("a: 1\n", "s.yaml"), strict, "top");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "s.yaml:1:1: top.b[1].c: always wrong");
  }
}

TEST(ConfigFields, TheEffectiveConfigReadsBackToTheSameStruct) {
  Machine odd = machine("cache: none\nl1d: []\nideal: 80ns\nvariants: {'6.12': {a.b: none}}\n");
  odd.name = "null";
  odd.note = "none";
  odd.tags = {"", "true", "010", "a: b", "#", "x\ny", "none", "-1", ".5", "é"};
  odd.scale = 0.1;
  odd.l1d = {Level{{}, 1, {}}, Level{{PageSize::k1G}, 2, {{PageSize::k2M, 3}}}};
  odd.memory = Bytes{0};
  for (const Machine& m : {Machine(), odd}) {
    const std::string yaml = to_yaml(write_config(m));
    EXPECT_EQ(machine(yaml), m) << yaml;
  }
}

TEST(ConfigFields, TheEffectiveConfigHoldsEveryKeyInTheOrderOfTheList) {
  EXPECT_EQ(to_yaml(write_config(Machine())), R"(name: machine
asids: true
pages_to_scan: 4096
walkers: 2
offset: -3
scale: 1
scan_sleep: 10s
memory: 16GiB
frequency: 2.6GHz
bandwidth: 3GB/s
page: 4K
enabled: madvise
cpu: dedicated
trace: ""
tags: []
l1d:
  - {pages: [4K], sets: 16, ways: {4K: 4}}
ideal: none
cache:
  size: 32KiB
  ways: 8
note: none
l2:
  size: 32KiB
  ways: 8
variants: {}
)");
}

TEST(ConfigFields, KeysAreListedWithTypeDefaultAndHelp) {
  std::vector<std::string> lines;
  for (const KeyInfo& key : list_keys<Machine>())
    lines.push_back(fmt::format("{} | {} | {} | {}", key.path, key.type, key.default_value, key.help));
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "name | text | machine | what reports call it",
                       "asids | true|false | true | whether entries carry an ASID",
                       "pages_to_scan | count | 4096 | pages per wake-up",
                       "walkers | count | 2 | walks at a time",
                       "offset | integer | -3 | a number of either sign",
                       "scale | number | 1 | a factor",
                       "scan_sleep | duration | 10s | pause between wake-ups",
                       "memory | bytes | 16GiB | size of memory",
                       "frequency | frequency | 2.6GHz | core clock",
                       "bandwidth | bandwidth | 3GB/s | of the device",
                       "page | 4K|2M|1G | 4K | a page size",
                       "enabled | always|madvise|never | madvise | which mappings",
                       "cpu | dedicated, or the number of a CPU | dedicated | where it runs",
                       "trace | file | \"\" | trace to replay",
                       "tags | list of text | [] | words",
                       "l1d | list of map | [{pages: [4K], sets: 16, ways: {4K: 4}}] | arrays of the level",
                       "l1d[].pages | list of 4K|2M|1G | [4K] | page sizes held",
                       "l1d[].sets | count | 16 | number of sets",
                       "l1d[].ways | count, or {4K: count, 2M: count, 1G: count} | {4K: 4} | entries of a set",
                       "ideal | duration or none | none | fixed latency",
                       "cache | map or none | {size: 32KiB, ways: 8} | first level",
                       "cache.size | bytes | 32KiB | bytes of data",
                       "cache.ways | count | 8 | lines of a set",
                       "note | text or none | none | remark",
                       "l2.size | bytes | 32KiB | bytes of data",
                       "l2.ways | count | 8 | lines of a set",
                       "variants | map | {} | what differs, by name",
                   }));
}

TEST(ConfigFields, AFileIsRelativeToTheFileThatNamesIt) {
  Machine m;
  ConfigNode config = parse_yaml("trace: ../traces/a.ctr", "configs/machine.yaml");
  read_config(config, m);
  EXPECT_EQ(m.trace.resolved(), "traces/a.ctr");
  config.merge(parse_set("trace=b.ctr"));
  read_config(config, m);
  EXPECT_EQ(m.trace.resolved(), "b.ctr");
  read_config(parse_yaml("trace: /c.ctr", "configs/machine.yaml"), m);
  EXPECT_EQ(m.trace.resolved(), "/c.ctr");
}

}  // namespace
}  // namespace collapsar
