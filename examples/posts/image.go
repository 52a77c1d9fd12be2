package posts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxImage is the largest picture in bytes, maxPixels in pixels: a small file can hold a huge picture.
	maxImage  = 8 << 20
	maxPixels = 16 << 20
	// defaultWidth and maxWidth bound the answer's width in pixels.
	defaultWidth = 320
	maxWidth     = 2048
	// blurPixel is what smoothing one pixel costs, as measured.
	blurPixel = 34 * time.Nanosecond
)

// image takes a PNG, smooths it again and again, and answers with a PNG of the width asked for. The number of passes follows
// from the cost and the picture's size, so that every picture costs about the same.
func (s *postsService) image(w http.ResponseWriter, r *http.Request) {
	width, err := askedWidth(r)
	if err != nil {
		problem(w, http.StatusBadRequest, "%v", err)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxImage))
	if err != nil {
		if _, big := errors.AsType[*http.MaxBytesError](err); big {
			problem(w, http.StatusRequestEntityTooLarge, "the picture is larger than %d bytes", maxImage)
			return
		}
		problem(w, http.StatusBadRequest, "the picture can't be read: %v", err)
		return
	}
	src, status, err := decode(data)
	if err != nil {
		problem(w, status, "%v", err)
		return
	}
	passes := max(1, int(s.costs.Image/(blurPixel*time.Duration(src.Rect.Dx()*src.Rect.Dy()))))
	if src, err = smooth(r.Context(), src, passes); err != nil {
		return // the client has gone
	}
	var out bytes.Buffer
	if err := png.Encode(&out, shrink(src, width)); err != nil {
		problem(w, http.StatusInternalServerError, "the picture can't be encoded: %v", err)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("X-Picture-Passes", strconv.Itoa(passes))
	w.Header().Set("X-Picture-Source", fmt.Sprintf("%dx%d", src.Rect.Dx(), src.Rect.Dy()))
	_, _ = w.Write(out.Bytes())
}

func askedWidth(r *http.Request) (int, error) {
	s := r.URL.Query().Get("width")
	if s == "" {
		return defaultWidth, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxWidth {
		return 0, fmt.Errorf("width=%q is not a number from 1 to %d", s, maxWidth)
	}
	return n, nil
}

func decode(data []byte) (*image.RGBA, int, error) {
	head, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the body is not a PNG picture: %w", err)
	}
	if head.Width*head.Height > maxPixels {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the picture has %d×%d pixels; at most %d are taken", head.Width, head.Height, maxPixels)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("the picture is damaged: %w", err)
	}
	rgba := image.NewRGBA(image.Rect(0, 0, head.Width, head.Height))
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	return rgba, 0, nil
}

// smooth averages each pixel with its eight neighbours, passes times.
func smooth(ctx context.Context, src *image.RGBA, passes int) (*image.RGBA, error) {
	dst := image.NewRGBA(src.Rect)
	for range passes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		blur(dst, src)
		src, dst = dst, src
	}
	return src, nil
}

func blur(dst, src *image.RGBA) {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	for y := range h {
		rows := [3][]byte{src.Pix[max(y-1, 0)*src.Stride:], src.Pix[y*src.Stride:], src.Pix[min(y+1, h-1)*src.Stride:]}
		for x := range w {
			left, right := max(x-1, 0)*4, min(x+1, w-1)*4
			for c := range 4 {
				sum := uint32(0)
				for _, row := range rows {
					sum += uint32(row[left+c]) + uint32(row[x*4+c]) + uint32(row[right+c])
				}
				dst.Pix[y*dst.Stride+x*4+c] = uint8(sum / 9) //nolint:gosec // nine bytes' mean is a byte
			}
		}
	}
}

// shrink returns src at the given width, or as it is when it is no wider, by averaging.
func shrink(src *image.RGBA, width int) *image.RGBA {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if w <= width {
		return src
	}
	height := max(1, h*width/w)
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		top, bottom := y*h/height, max((y+1)*h/height, y*h/height+1)
		for x := range width {
			left, right := x*w/width, max((x+1)*w/width, x*w/width+1)
			var sum [4]int
			for sy := top; sy < bottom; sy++ {
				for p := sy*src.Stride + left*4; p < sy*src.Stride+right*4; p += 4 {
					for c := range 4 {
						sum[c] += int(src.Pix[p+c])
					}
				}
			}
			n := (bottom - top) * (right - left)
			for c := range 4 {
				dst.Pix[y*dst.Stride+x*4+c] = uint8(sum[c] / n) //nolint:gosec // a mean of bytes is a byte
			}
		}
	}
	return dst
}
