// YAML text -> ConfigNode: what is taken, what is refused and in which words.
#include "sim/core/config.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

std::string line_of(const std::string& text) { return to_yaml_line(parse_yaml(text, "f.yaml")); }

std::string text_refusal(const std::string& text) {
  try {
    return "accepted " + line_of(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
}

std::string set_refusal(const std::string& assignment) {
  try {
    return "accepted " + to_yaml_line(parse_set(assignment));
  } catch (const ConfigError& error) {
    return error.what();
  }
}

constexpr const char* kNoValue = R"(no value; write {} for an empty map, [] for an empty list, "" for an empty text)";

TEST(ConfigYaml, KeepsOrderTextsAndPlaces) {
  const ConfigNode root = parse_yaml("b: 010\na:\n  - {x: '1'}\n", "f.yaml");
  EXPECT_EQ(root.children[0].key, "b");
  EXPECT_EQ(root.children[0].text, "010");
  EXPECT_EQ(root.children[0].place.text(), "f.yaml:1:4");
  EXPECT_EQ(root.children[0].key_place.text(), "f.yaml:1:1");
  const ConfigNode& x = root.child("a")->children[0].children[0];
  EXPECT_EQ(x.place.text(), "f.yaml:3:9");
  EXPECT_TRUE(x.quoted);
}

TEST(ConfigYaml, NothingIsAnEmptyMap) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) EXPECT_EQ(line_of(text), "{}");
  EXPECT_EQ(parse_yaml("", "f.yaml").place.text(), "f.yaml:1:1");
}

TEST(ConfigYaml, DottedKeysArePaths) {
  EXPECT_EQ(line_of("a.b.c: 1\na.d: 2\n"), "{a: {b: {c: 1}, d: 2}}");
  EXPECT_EQ(line_of("a.b: 1\na: {c: 2}\n"), "{a: {b: 1, c: 2}}");
  EXPECT_EQ(line_of("a: {c: 2}\na.b: 1\n"), "{a: {c: 2, b: 1}}");
  EXPECT_EQ(line_of("a: {b.c: 1}\na.b.d: 2\n"), "{a: {b: {c: 1, d: 2}}}");
  EXPECT_EQ(line_of("'6.12': 1\n"), "{\"6.12\": 1}");
}

TEST(ConfigYaml, RepeatedKeysAreRefusedWithBothPlaces) {
  EXPECT_EQ(text_refusal("a: 1\na: 2\n"), "f.yaml:2:1: a: repeated key; it stands at f.yaml:1:1 already");
  EXPECT_EQ(text_refusal("a.b: 1\na: {b: 2}\n"), "f.yaml:2:5: a.b: repeated key; it stands at f.yaml:1:1 already");
  EXPECT_EQ(text_refusal("a: {b: 2}\na.b: 1\n"), "f.yaml:2:1: a.b: repeated key; it stands at f.yaml:1:5 already");
  EXPECT_EQ(text_refusal("a: {b: 1}\na: {c: 2}\n"), "f.yaml:2:1: a: repeated key; it stands at f.yaml:1:1 already");
  EXPECT_EQ(text_refusal("a: none\na.b: 1\n"), "f.yaml:2:1: a: repeated key; it stands at f.yaml:1:1 already");
  EXPECT_EQ(text_refusal("a: [{b: 1, b: 2}]\n"), "f.yaml:1:12: a[0].b: repeated key; it stands at f.yaml:1:6 already");
}

TEST(ConfigYaml, EmptyValuesAndKeysAreRefused) {
  EXPECT_EQ(text_refusal("x: {a: }\n"), std::string("f.yaml:1:5: x.a: ") + kNoValue);
  EXPECT_EQ(text_refusal("a:\nb: 1\n"), std::string("f.yaml:1:1: a: ") + kNoValue);
  EXPECT_EQ(text_refusal("a: ~\n"), std::string("f.yaml:1:1: a: ") + kNoValue);
  EXPECT_EQ(text_refusal("\"\": 1\n"), "f.yaml:1:1: an empty key; write a name");
  EXPECT_EQ(text_refusal(": 1\n"), "f.yaml:1:1: an empty key; write a name");
  EXPECT_EQ(text_refusal("a..b: 1\n"), "f.yaml:1:1: a..b: a key with an empty part; write outer.inner");
  EXPECT_EQ(text_refusal("a.: 1\n"), "f.yaml:1:1: a.: a key with an empty part; write outer.inner");
}

TEST(ConfigYaml, WhatHidesValuesIsRefused) {
  const std::string anchors = "anchors and aliases (& and *) are not supported; write the values out, or use base:";
  EXPECT_EQ(text_refusal("a: &x 1\nb: *x\n"), "f.yaml:1:4: a: " + anchors);
  EXPECT_EQ(text_refusal("a: &x {b: 1}\n"), "f.yaml:1:4: a: " + anchors);
  EXPECT_EQ(text_refusal("a:\n  <<: {b: 1}\n"),
            "f.yaml:2:3: a: merge keys (<<) are not supported; write the values out, or use base:");
  EXPECT_EQ(text_refusal("a: !!int 5\n"), "f.yaml:1:4: a: tag tag:yaml.org,2002:int is not supported; leave it out");
  EXPECT_EQ(text_refusal("a: 1\n---\nb: 2\n"), "f.yaml:2:1: a second document; one file holds one config");
}

TEST(ConfigYaml, WhatIsNoMapIsRefused) {
  EXPECT_EQ(text_refusal("- 1\n"), "f.yaml:1:1: found a list; expected a map");
  EXPECT_EQ(text_refusal("text\n"), "f.yaml:1:1: found text; expected a map");
  EXPECT_EQ(text_refusal("[1]: 2\n"), "f.yaml:1:1: a list as a key; a key is a name");
}

TEST(ConfigYaml, BrokenSyntaxIsSaidWithItsPlace) {
  EXPECT_EQ(text_refusal("a: [1, 2\n"), "f.yaml:2:1: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(text_refusal("a: }\n"), "f.yaml:1:4: not valid YAML: illegal flow end");
  EXPECT_EQ(text_refusal("a: 1 b: 2\n"), "f.yaml:1:7: not valid YAML: illegal map value");
  EXPECT_EQ(text_refusal("a: \"open\n"), "f.yaml:2:1: not valid YAML: illegal document indicator in scalar");
  EXPECT_EQ(text_refusal("a: 'open"), "f.yaml:2:1: not valid YAML: illegal document indicator in scalar");
  EXPECT_EQ(text_refusal("a:\n\tb: 1\n"), "f.yaml:2:2: a tab in the indentation; indent with spaces");
  EXPECT_EQ(text_refusal("a: 1\n\x04 b: 2\n"), "f.yaml:2:1: character 0x04; a config is UTF-8 text");
}

// yaml-cpp finds an empty document behind the comma again and again, without moving on.
TEST(ConfigYaml, AStrayCommaComesToAnEnd) {
  EXPECT_EQ(text_refusal("[m],\na: 1\n"), "f.yaml:1:4: a second document; one file holds one config");
}

TEST(ConfigYaml, DeepNestingIsRefused) {
  const auto repeated = [](int n, const std::string& part) {
    std::string text;
    for (int i = 0; i < n; ++i) text += part;
    return text;
  };
  EXPECT_TRUE(text_refusal("a: " + repeated(100'000, "[")).ends_with(": nested deeper than 64 levels"));
  EXPECT_TRUE(text_refusal("a: " + repeated(70, "[") + repeated(70, "]")).ends_with(": nested deeper than 64 levels"));
  EXPECT_TRUE(text_refusal(repeated(100, "- ") + "a\n").ends_with(": nested deeper than 64 levels"));
  EXPECT_EQ(set_refusal(repeated(100'000, "a.") + "a=1").substr(0, 8), "--set a.");
  EXPECT_TRUE(set_refusal(repeated(100'000, "a.") + "a=1").ends_with(": a key of more than 64 parts"));
}

TEST(ConfigYaml, ByteOrderMarkAndWindowsLineEndsDoNotMatter) {
  EXPECT_EQ(line_of("\xEF\xBB\xBF"
                    "a: 1\r\nb: [2,\r\n  3]\r\n"),
            "{a: 1, b: [2, 3]}");
}

TEST(ConfigSet, IsAMapWithOnePathAndItsOwnPlace) {
  const ConfigNode root = parse_set("kernel.thp.enabled=never");
  EXPECT_EQ(to_yaml_line(root), "{kernel: {thp: {enabled: never}}}");
  EXPECT_EQ(root.find("kernel.thp.enabled")->place.text(), "--set kernel.thp.enabled=never");
  EXPECT_EQ(to_yaml_line(parse_set("l1d=[{pages: [4K]}]")), "{l1d: [{pages: [4K]}]}");
  EXPECT_EQ(parse_set("a=b=c").child("a")->text, "b=c");
}

TEST(ConfigSet, RefusalsNameTheOption) {
  EXPECT_EQ(set_refusal("a.b"), "--set a.b: no `=`; write --set a.b.c=value");
  EXPECT_EQ(set_refusal("a="), std::string("--set a=: a: ") + kNoValue);
  EXPECT_EQ(set_refusal("=1"), "--set =1: an empty key; write a name");
  EXPECT_EQ(set_refusal("a=[1"), "--set a=[1: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(set_refusal("a={x: {y: 1}, x: {z: 2}}"),
            "--set a={x: {y: 1}, x: {z: 2}}: x: repeated key; it stands at --set a={x: {y: 1}, x: {z: 2}} already");
}

}  // namespace
}  // namespace collapsar
