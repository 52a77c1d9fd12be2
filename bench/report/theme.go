package report

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The palette is Okabe and Ito's, which people with any colour blindness tell apart, without its yellow and black: those
// vanish on a light or a dark page. page.html has a lighter shade of each for dark pages, as --s0 to --s6, in this order.
var palette = []color.RGBA{
	{0x00, 0x72, 0xB2, 0xFF}, {0xD5, 0x5E, 0x00, 0xFF}, {0x00, 0x9E, 0x73, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF},
	{0xE6, 0x9F, 0x00, 0xFF}, {0x56, 0xB4, 0xE9, 0xFF}, {0x7F, 0x7F, 0x7F, 0xFF},
}

// ink is for text and axes, faint for the grid. They are --ink and --faint on the page; no series has them.
var (
	ink   = color.RGBA{0x22, 0x22, 0x23, 0xFF}
	faint = color.RGBA{0xDD, 0xDD, 0xDE, 0xFF}
)

// dashes tell series apart that share a colour, and all of them where there is no colour.
var dashes = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}}

var glyphs = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.PlusGlyph{},
}

// lineOf and glyphOf are the looks of the i-th series.
func lineOf(i int) draw.LineStyle {
	return draw.LineStyle{Color: palette[i%len(palette)], Width: vg.Points(1.5), Dashes: dashes[i/len(palette)%len(dashes)]}
}

func glyphOf(i int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: palette[i%len(palette)], Radius: vg.Points(2.8), Shape: glyphs[i%len(glyphs)]}
}

// sans is metric-compatible with Arial and Helvetica, which a page's reader has.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// newPlot has no background, so that the page's own shows through.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Tick.Color = ink, ink
		a.Label.TextStyle.Font, a.Label.TextStyle.Color = sans(vg.Points(10)), ink
		a.Tick.Label.Font, a.Tick.Label.Color = sans(vg.Points(9)), ink
		a.Padding = vg.Points(4)
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	return p
}

// svg draws a chart for a page: the colours become the page's variables, and the size what fits.
func (c *Chart) svg() (string, error) {
	canvas := vgsvg.New(c.width, c.height)
	if err := c.draw(draw.New(canvas)); err != nil {
		return "", fmt.Errorf("report: %s: %w", c.Name, err)
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("report: %s: %w", c.Name, err)
	}
	text := b.String()
	text = text[strings.Index(text, "<svg"):] // a page's SVG has no declaration of its own
	text = svgText.ReplaceAllStringFunc(text, fitted)
	text = svgFonts.ReplaceAllString(text, "font-family:'Liberation Sans',Arial,Helvetica,sans-serif")
	// The size is the picture's own shape; how large it is shown is up to the page.
	text = svgSize.ReplaceAllString(text, fmt.Sprintf(`<svg role="img" aria-labelledby="t-%s" class="chart"`, c.Name))
	text = strings.Replace(text, ">", ">\n<title id=\"t-"+c.Name+"\">"+xmlText(c.Title)+"</title>", 1)
	for i, rgb := range palette {
		text = strings.ReplaceAll(text, hex(rgb), fmt.Sprintf("var(--s%d)", i))
	}
	text = strings.ReplaceAll(text, hex(ink), "var(--ink)")
	return strings.ReplaceAll(text, hex(faint), "var(--faint)"), nil
}

var (
	svgFonts = regexp.MustCompile(`font-family:[^;"]*`)
	svgSize  = regexp.MustCompile(`<svg width="[^"]*" height="[^"]*"`)
)

// svgText takes a text apart: its attributes, its size in points, and what it says.
var svgText = regexp.MustCompile(`(?s)<text ([^>]*font-size:([0-9.]+)px[^>]*)>([^<]*)</text>`)

// fitted has a text drawn as wide as it was laid out, in whatever font the reader has: a wider one would run into its
// neighbours.
func fitted(text string) string {
	m := svgText.FindStringSubmatch(text)
	points, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return text
	}
	at := vg.Points(points)
	face := font.DefaultCache.Lookup(sans(at), at)
	width := face.Width(html.UnescapeString(m[3]))
	return fmt.Sprintf(`<text textLength="%.1f" lengthAdjust="spacingAndGlyphs" %s>%s</text>`, width.Points(), m[1], m[3])
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// pngDPI makes a plot's text as large as that of the page around it on a usual screen.
const pngDPI = 160

// png draws a chart on white, for documents.
func (c *Chart) png(w io.Writer) error {
	canvas := vgimg.NewWith(vgimg.UseWH(c.width, c.height), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))
	if err := c.draw(draw.New(canvas)); err != nil {
		return fmt.Errorf("report: %s: %w", c.Name, err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("report: %s: %w", c.Name, err)
	}
	return nil
}
