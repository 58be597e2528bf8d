// Package mcpclient gives agents the tools and resources of MCP servers.
//
// [Load] reads which servers a project and its user configured. A [Manager] starts
// them when they are first used, shares them, restarts one that died, and ends all
// of them. What a server offers is pinned in a [Store] of the user: the servers of a
// project are used only after the user trusted them, and a tool that changed since
// is refused until it is trusted again.
//
// Names, descriptions and results of servers are written by others. Texts for the
// user are safe to show on a terminal; results are bounded in size.
package mcpclient
