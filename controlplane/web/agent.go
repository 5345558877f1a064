package web

import "strings"

// agent says of what a browser calls itself what people call it.
func agent(s string) string {
	if s == "" {
		return "Something that does not say what it is"
	}
	if strings.HasPrefix(s, "warren") {
		return s
	}
	browser, system := "", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(s, b[0]) {
			browser = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(s, o[0]) {
			system = o[1]
			break
		}
	}
	switch {
	case browser == "":
		if len(s) > 60 {
			return s[:60] + "…"
		}
		return s
	case system == "":
		return browser
	}
	return browser + " on " + system
}
