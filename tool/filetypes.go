package tool

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/nearest"
)

// fileTypes are the kinds of files that Grep knows by name, as globs.
var fileTypes = map[string]string{
	"asm": "*.asm,*.s,*.S", "awk": "*.awk", "bat": "*.bat", "c": "*.[chH],*.[chH].in,*.cats", "clojure": "*.clj,*.cljc,*.cljs,*.cljx",
	"cmake": "*.cmake,CMakeLists.txt", "config": "*.cfg,*.conf,*.config,*.ini",
	"cpp": "*.[ChH],*.cc,*.[ch]pp,*.[ch]xx,*.hh,*.inl,*.[ChH].in,*.cc.in,*.[ch]pp.in,*.[ch]xx.in,*.hh.in",
	"cs":  "*.cs", "csharp": "*.cs", "css": "*.css,*.scss", "csv": "*.csv", "dart": "*.dart", "diff": "*.patch,*.diff",
	"docker": "*Dockerfile*", "elixir": "*.ex,*.eex,*.exs,*.heex,*.leex,*.livemd", "elm": "*.elm", "erlang": "*.erl,*.hrl",
	"fsharp": "*.fs,*.fsx,*.fsi", "go": "*.go", "gradle": "*.gradle,*.gradle.kts", "graphql": "*.graphql,*.graphqls", "groovy": "*.groovy,*.gradle",
	"h": "*.h,*.hh,*.hpp", "haskell": "*.hs,*.lhs,*.cpphs,*.c2hs,*.hsc", "html": "*.htm,*.html,*.ejs", "ini": "*.ini",
	"java": "*.java,*.jsp,*.jspx,*.properties", "jl": "*.jl", "js": "*.js,*.jsx,*.vue,*.cjs,*.mjs", "json": "*.json,composer.lock,*.sarif", "jsonl": "*.jsonl",
	"julia": "*.jl", "jupyter": "*.ipynb,*.jpynb", "kotlin": "*.kt,*.kts", "less": "*.less", "lisp": "*.el,*.jl,*.lisp,*.lsp,*.sc,*.scm",
	"log": "*.log", "lua": "*.lua", "make": "[Gg][Nn][Uu]makefile,[Mm]akefile,[Gg][Nn][Uu]makefile.am,[Mm]akefile.am,[Gg][Nn][Uu]makefile.in,[Mm]akefile.in,*.mk,*.mak",
	"markdown": "*.markdown,*.md,*.mdown,*.mdwn,*.mkd,*.mkdn,*.mdx", "md": "*.markdown,*.md,*.mdown,*.mdwn,*.mkd,*.mkdn,*.mdx", "nix": "*.nix", "objc": "*.h,*.m",
	"ocaml": "*.ml,*.mli,*.mll,*.mly", "perl": "*.perl,*.pl,*.PL,*.plh,*.plx,*.pm,*.t", "php": "*.php,*.php3,*.php4,*.php5,*.php7,*.php8,*.pht,*.phtml", "protobuf": "*.proto",
	"ps": "*.cdxml,*.ps1,*.ps1xml,*.psd1,*.psm1", "py": "*.py,*.pyi", "python": "*.py,*.pyi", "r": "*.R,*.r,*.Rmd,*.Rnw", "rst": "*.rst",
	"ruby": "config.ru,Gemfile,.irbrc,Rakefile,*.gemspec,*.rb,*.rbw", "rust": "*.rs", "sass": "*.sass,*.scss", "scala": "*.scala,*.sbt",
	"sh":  "*.sh,*.bash,*.bashrc,*.csh,*.cshrc,*.ksh,*.kshrc,*.tcsh,*.zsh,.bash_login,.bash_logout,.bash_profile,.bashrc,.login,.logout,.profile,.zlogin,.zlogout,.zprofile,.zshenv,.zshrc,bash_login,bash_logout,bash_profile,bashrc,profile,zlogin,zlogout,zprofile,zshenv,zshrc",
	"sql": "*.sql,*.psql", "svelte": "*.svelte", "svg": "*.svg", "swift": "*.swift", "tex": "*.tex,*.ltx,*.cls,*.sty,*.bib,*.dtx,*.ins", "tf": "*.tf,*.tfvars,*.tf.json,*.tfvars.json,*.tfrc,terraform.rc,.terraformrc",
	"toml": "*.toml,Cargo.lock", "ts": "*.ts,*.tsx,*.cts,*.mts", "typescript": "*.ts,*.tsx,*.cts,*.mts", "txt": "*.txt", "vim": "*.vim,.vimrc,.gvimrc,vimrc,gvimrc,_vimrc,_gvimrc", "vue": "*.vue",
	"xml": "*.xml,*.xml.dist,*.dtd,*.xsl,*.xslt,*.xsd,*.xjb,*.rng,*.sch,*.xhtml", "yaml": "*.yaml,*.yml", "zig": "*.zig", "zsh": "*.zsh,.zshenv,zshenv,.zlogin,zlogin,.zlogout,zlogout,.zprofile,zprofile,.zshrc,zshrc",
}

// typeGlobs returns the globs of a kind of files; the empty name is every kind.
func typeGlobs(name string) (globs, error) {
	if name == "" {
		return globs{}, nil
	}
	list, ok := fileTypes[name]
	if !ok {
		known := slices.Sorted(maps.Keys(fileTypes))
		text := fmt.Sprintf("unrecognized file type: %s", name)
		if near := nearest.Name(name, known); near != "" {
			text += "; did you mean " + near + "?"
		}
		return globs{}, fmt.Errorf("%s Known types: %s", text, strings.Join(known, ", "))
	}
	return newGlobs(strings.Split(list, ",")...)
}
