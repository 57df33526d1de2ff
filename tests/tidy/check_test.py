#!/usr/bin/env python3
"""Each house rule accepts a clean tree and names the breach in a broken one."""
import tempfile
import unittest
from pathlib import Path

import check


def clean_tree(root):
    for name in ("include/bounced", "src/base", "src/parse", "src/state", "rules", "bench/macro",
                 "tests", "tools", ".ci"):
        (root / name).mkdir(parents=True)
    (root / "CMakeLists.txt").write_text("# build\n")
    for folder in (".", "include", "src", "src/base", "src/parse", "src/state", "rules", "bench",
                   "tests", "tools"):
        (root / folder / "README.md").write_text("# x\n\nWhat it is.\n")
    for script in ("tools/build", ".ci/run", "bench/macro/run"):
        path = root / script
        path.write_text("#!/usr/bin/env bash\nset -euo pipefail\n")
        path.chmod(0o755)
    write(root, "include/bounced/event.h", "#pragma once\n#include <cstdint>\n")
    write(root, "src/base/text.h", "#pragma once\n#include <bounced/event.h>\n")
    write(root, "src/parse/scan.h", '#pragma once\n#include "base/text.h"\n')
    write(root, "src/parse/scan.cc", '#include "parse/scan.h"\n')
    write(root, "src/state/state.h", "#pragma once\n")


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


class CheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        clean_tree(self.root)

    def breaches(self, rule):
        return list(check.RULES[rule](self.root))

    def expect(self, rule, place, word):
        found = self.breaches(rule)
        self.assertEqual(1, len(found), found)
        self.assertTrue(found[0].startswith(place), found)
        self.assertIn(word, found[0])

    def test_a_clean_tree_has_no_breach(self):
        for rule in check.RULES:
            self.assertEqual([], self.breaches(rule), rule)

    def test_an_include_upwards(self):
        write(self.root, "src/base/bad.h", '#pragma once\n#include "parse/scan.h"\n')
        self.expect("layers", "src/base/bad.h:2", "must not include parse")

    def test_an_include_sideways(self):
        write(self.root, "src/state/bad.cc", '\n#  include "parse/scan.h"\n')
        self.expect("layers", "src/state/bad.cc:2", "must not include parse")

    def test_an_include_by_a_relative_path(self):
        write(self.root, "src/state/bad.cc", '#include "../parse/scan.h"\n')
        self.expect("layers", "src/state/bad.cc:1", "must not include parse")

    def test_an_include_in_brackets(self):
        write(self.root, "src/state/bad.cc", "#include <parse/scan.h>\n")
        self.expect("layers", "src/state/bad.cc:1", "must not include parse")

    def test_the_contract_uses_std_only(self):
        write(self.root, "include/bounced/bad.h", "#pragma once\n#include <fmt/format.h>\n")
        self.expect("layers", "include/bounced/bad.h:2", "std only")

    def test_an_unranked_folder(self):
        (self.root / "src/helpers").mkdir()
        self.expect("layers", "src/helpers", "without a rank")

    def test_an_include_of_nothing(self):
        write(self.root, "src/state/bad.cc", '#include "state/gone.h"\n')
        self.expect("layers", "src/state/bad.cc:1", "no such file")

    def test_a_stray_name_on_top(self):
        write(self.root, "notes.txt", "x\n")
        self.expect("top", "notes.txt", "not a name")

    def test_a_missing_name_on_top(self):
        (self.root / "CMakeLists.txt").unlink()
        self.expect("top", "CMakeLists.txt", "missing")

    def test_a_long_line_and_a_long_file(self):
        write(self.root, "src/state/wide.cc", "// " + "x" * 98 + "\n")
        self.expect("sizes", "src/state/wide.cc:1", "101 columns")
        write(self.root, "src/state/wide.cc", "\n" * 701)
        self.expect("sizes", "src/state/wide.cc", "701 lines")

    def test_a_machine_path(self):
        write(self.root, "tools/README.md", "# x\n\nSee /ho" + "me/someone/x.\n")
        self.expect("paths", "tools/README.md:3", "one machine")

    def test_a_folder_without_words(self):
        (self.root / "src/state/README.md").unlink()
        self.expect("readmes", "src/state", "no README.md")

    def test_a_script_without_run_bit(self):
        (self.root / "tools/build").chmod(0o644)
        self.expect("tools", "tools/build", "no run bit")

    def test_a_script_that_goes_on_after_errors(self):
        (self.root / ".ci/run").write_text("#!/usr/bin/env bash\n")
        self.expect("tools", ".ci/run", "pipefail")

    def test_banned_headers_and_missing_guards(self):
        write(self.root, "src/state/bad.cc", "#include <regex>\n")
        self.expect("code", "src/state/bad.cc:1", "backtracks")
        write(self.root, "src/state/bad.cc", "// <regex> is not for us\n")
        self.assertEqual([], self.breaches("code"))
        write(self.root, "src/state/bad.h", "\n")
        self.expect("code", "src/state/bad.h", "#pragma once")


if __name__ == "__main__":
    unittest.main()
