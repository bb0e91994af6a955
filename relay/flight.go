package relay

type flight struct{}
