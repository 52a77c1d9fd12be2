// Package parts is what runs in the benchmark's own processes: clients and workers over rpc, the HTTP servers, proxies and
// clients, and the controls, which are what a user would write on a broker's bare client instead. The role protocol starts
// them; see package role.
package parts
